// The page: what it shows, and nothing of how that comes here.
import type { Message, Person, RoomNews } from '../contract.js'

export const elements = {
  login: byId('login'),
  loginForm: byId<HTMLFormElement>('login-form'),
  name: byId<HTMLInputElement>('name'),
  code: byId<HTMLInputElement>('code'),
  loginError: byId('login-error'),
  chat: byId('chat'),
  logout: byId<HTMLButtonElement>('logout'),
  cut: byId<HTMLButtonElement>('cut'),
  say: byId<HTMLFormElement>('say'),
  text: byId<HTMLInputElement>('text')
}

export function showLogin (): void {
  elements.chat.hidden = true
  elements.login.hidden = false
  elements.loginError.textContent = ''
  elements.name.focus()
}

export function showChat (me: Person): void {
  elements.login.hidden = true
  elements.chat.hidden = false
  byId('me').replaceChildren(...nameWithBadge(me))
}

export function showConnection (state: 'on' | 'off' | 'cut'): void {
  const status = byId('connection')
  status.textContent = { on: 'Connected', off: 'Connecting …', cut: 'Cut off' }[state]
  status.dataset.state = state
}

/** @param secondsLeft until the connection comes back; `null` while it is not cut */
export function showCut (secondsLeft: number | null, seconds: number): void {
  const { cut, text } = elements
  cut.textContent = secondsLeft === null ? 'Cut my connection' : `Come back now (${secondsLeft} s)`
  cut.title = `For ${seconds} seconds`
  byId('chat').classList.toggle('cut', secondsLeft !== null)
  for (const control of elements.say.querySelectorAll<HTMLInputElement | HTMLButtonElement>('input, button')) control.disabled = secondsLeft !== null
  text.placeholder = secondsLeft === null ? 'Write a message' : 'You are cut off'
  if (secondsLeft === null) return
  showRecovery('What is said now, you miss')
}

/** A small line about what happened to the connection. */
export function showRecovery (text: string): void {
  byId('recovery').textContent = text
}

export function showDocsLink (): void {
  byId('docs').hidden = false
}

export function showRooms (rooms: ReadonlyArray<{ id: string, title: string }>, current: string, choose: (id: string) => void): void {
  byId('rooms').replaceChildren(...rooms.map(({ id, title }) => {
    const button = make('button', title, { type: 'button' })
    if (id === current) button.setAttribute('aria-current', 'page')
    button.addEventListener('click', () => choose(id))
    return make('li', button)
  }))
}

export function showRoom ({ title, topic }: { title: string, topic: string }): void {
  byId('room-title').textContent = title
  byId('room-topic').textContent = topic
  document.title = `${title} – Rooms`
  byId('messages').replaceChildren()
  byId('people').replaceChildren()
  showTyping([])
  showBanner(null)
}

export function showNews (news: readonly RoomNews[], me: string): void {
  byId('messages').replaceChildren()
  if (news.length === 0) byId('messages').append(make('li', 'Nobody has said anything yet', { className: 'empty' }))
  for (const { message, notice } of news) {
    if (message !== undefined) addMessage(message, me)
    if (notice !== undefined) addNotice(notice.text)
  }
}

/** @param isMissed whether it was said while the page had no connection */
export function addMessage ({ from, text, at }: Message, me: string, isMissed = false): void {
  const list = byId('messages')
  list.querySelector('.empty')?.remove()
  const time = make('time', new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }), { dateTime: new Date(at).toISOString() })
  const previous = list.lastElementChild
  const item = make('li', '', { className: from === me ? 'message mine' : 'message' })
  item.dataset.from = from
  if (isMissed) item.classList.add('recovered')
  if (previous instanceof HTMLElement && previous.dataset.from === from) item.classList.add('again')
  item.append(
    avatar(from),
    make('div', [make('p', [make('strong', from), time], { className: 'by' }), make('p', text, { className: 'text' })], { className: 'bubble' })
  )
  append(item)
}

export function addNotice (text: string): void {
  append(make('li', text, { className: 'notice' }))
}

export function showPeople (people: readonly Person[], me: Person, kick: (name: string) => void): void {
  byId('people').replaceChildren(...people.map((person) => {
    const item = make('li', [avatar(person.name), make('span', nameWithBadge(person, person.name === me.name), { className: 'name' })])
    if (me.moderator && person.name !== me.name) {
      const button = make('button', 'Kick out', { type: 'button', className: 'quiet danger' })
      button.setAttribute('aria-label', `Kick out ${person.name}`)
      button.addEventListener('click', () => kick(person.name))
      item.append(button)
    }
    return item
  }))
}

export function showTyping (names: readonly string[]): void {
  byId('typing').textContent = names.length === 0 ? '' : `${names.length > 2 ? 'Several people' : names.join(' and ')} ${names.length === 1 ? 'is' : 'are'} typing …`
}

/** A sentence above the composer, which is of no use meanwhile; `null` takes it away. */
export function showBanner (text: string | null): void {
  const banner = byId('banner')
  banner.hidden = text === null
  banner.textContent = text
  elements.say.hidden = text !== null
}

function append (item: HTMLElement): void {
  const list = byId('messages')
  // Somebody who reads further up stays there.
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80
  list.append(item)
  if (atEnd || item.classList.contains('mine')) list.scrollTop = list.scrollHeight
}

function nameWithBadge ({ name, moderator }: Person, isMe = false): Array<string | HTMLElement> {
  return [name, ...(isMe ? [make('span', ' (you)', { className: 'muted' })] : []), ...(moderator ? [make('span', 'moderator', { className: 'badge' })] : [])]
}

function avatar (name: string): HTMLElement {
  const hue = [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)!) % 8, 0)
  const element = make('span', [...name][0]!.toUpperCase(), { className: `avatar hue-${hue}` })
  element.setAttribute('aria-hidden', 'true')
  return element
}

/** Text goes in as text: what people write is never read as HTML. */
function make<Tag extends keyof HTMLElementTagNameMap> (tag: Tag, content: string | Node | Array<string | Node>, properties: Partial<HTMLElementTagNameMap[Tag]> = {}): HTMLElementTagNameMap[Tag] {
  const element = Object.assign(document.createElement(tag), properties)
  element.append(...(Array.isArray(content) ? content : [content]))
  return element
}

function byId<E extends HTMLElement = HTMLElement> (id: string): E {
  return document.getElementById(id) as E
}
