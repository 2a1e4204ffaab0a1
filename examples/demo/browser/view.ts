// The page: what it shows, and nothing of how that comes here.
import type { Message, Person } from '../contract.js'

export const elements = {
  login: byId('login'),
  loginForm: byId<HTMLFormElement>('login-form'),
  name: byId<HTMLInputElement>('name'),
  code: byId<HTMLInputElement>('code'),
  loginError: byId('login-error'),
  chat: byId('chat'),
  logout: byId<HTMLButtonElement>('logout'),
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

export function showConnection (connected: boolean): void {
  const status = byId('connection')
  status.textContent = connected ? 'Connected' : 'Connecting …'
  status.dataset.state = connected ? 'on' : 'off'
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

export function showMessages (messages: readonly Message[], me: string): void {
  byId('messages').replaceChildren()
  if (messages.length === 0) byId('messages').append(make('li', 'Nobody has said anything yet', { className: 'empty' }))
  for (const message of messages) addMessage(message, me)
}

export function addMessage ({ from, text, at }: Message, me: string): void {
  const list = byId('messages')
  list.querySelector('.empty')?.remove()
  const time = make('time', new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }), { dateTime: new Date(at).toISOString() })
  const previous = list.lastElementChild
  const item = make('li', '', { className: from === me ? 'message mine' : 'message' })
  item.dataset.from = from
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
