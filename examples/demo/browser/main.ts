import { create } from 'socketcluster-client'
import { type ScClientChannel, typedClient } from 'fastify-socketcluster/client'
import type { Contract, Person, RoomNews } from '../contract.js'
import { rooms } from '../room-list.js'
import * as view from './view.js'

/** Milliseconds for which somebody counts as typing after their last key. */
const typingTime = 4_000

const socket = create()
// Events, answers and messages have the types of the contract from here on.
const client = typedClient<Contract>(socket)

let me: Person | null = null
let current: { id: string, channel: ScClientChannel<RoomNews>, stop: () => void } | null = null
const typing = new Map<string, ReturnType<typeof setTimeout>>()

view.elements.loginForm.addEventListener('submit', async (event) => {
  event.preventDefault()
  const { name, code, loginError } = view.elements
  loginError.textContent = ''
  const result = await client.tryInvoke('login', { name: name.value.trim(), ...(code.value === '' ? {} : { code: code.value }) })
  if (result.ok) {
    code.value = ''
    return
  }
  switch (result.error.name) {
    case 'NameTakenError':
    case 'WrongCodeError': loginError.textContent = result.error.message; break
    case 'ValidationError': loginError.textContent = 'A name has 1 to 24 letters, digits, spaces, dots and dashes'; break
    default: loginError.textContent = `That did not work: ${result.error.message}`
  }
})

view.elements.logout.addEventListener('click', () => { socket.deauthenticate() })

view.elements.say.addEventListener('submit', async (event) => {
  event.preventDefault()
  const { text } = view.elements
  const said = text.value.trim()
  if (said === '' || current === null) return
  text.value = ''
  tellTyping(false)
  const result = await client.tryInvoke('say', { room: current.id, text: said })
  if (!result.ok) {
    text.value = said
    view.addNotice(`Not sent: ${result.error.message}`)
  }
})

let toldAt = 0
view.elements.text.addEventListener('input', () => tellTyping(view.elements.text.value !== ''))
view.elements.text.addEventListener('blur', () => tellTyping(false))

/** Tells the room, though not with every key. */
function tellTyping (on: boolean): void {
  if (current === null || (on ? Date.now() - toldAt < typingTime / 2 : toldAt === 0)) return
  toldAt = on ? Date.now() : 0
  client.transmit('typing', { room: current.id, on })
}

async function enter (id: string): Promise<void> {
  leave()
  const room = rooms.find((room) => room.id === id) ?? rooms[0]
  view.showRooms(rooms, room.id, enter)
  view.showRoom(room)
  const channel = client.subscribe('room/:id', { id: room.id }, { waitForAuth: true })
  const entered = { id: room.id, channel, stop: channel.watch(onNews) }
  current = entered
  try {
    await channel.subscribed()
    await refresh(entered)
  } catch (err) {
    if (current === entered) view.showBanner((err as Error).message)
  }
}

function leave (): void {
  if (current === null) return
  tellTyping(false)
  current.stop()
  current.channel.unsubscribe()
  current = null
  for (const name of [...typing.keys()]) stoppedTyping(name)
}

/** What was said and who is there: on entering, and after the connection was lost. */
async function refresh (entered: NonNullable<typeof current>): Promise<void> {
  const { messages, people } = await client.invoke('enter', { room: entered.id })
  if (current !== entered || me === null) return
  view.showMessages(messages, me.name)
  view.showPeople(people, me, kick)
}

function onNews ({ message, typing, people, notice }: RoomNews): void {
  if (me === null) return
  if (message !== undefined) {
    stoppedTyping(message.from)
    view.addMessage(message, me.name)
  }
  if (typing !== undefined && typing.from !== me.name) {
    stoppedTyping(typing.from)
    if (typing.on) startedTyping(typing.from)
  }
  if (people !== undefined) view.showPeople(people, me, kick)
  if (notice !== undefined) view.addNotice(notice.text)
}

function startedTyping (name: string): void {
  typing.set(name, setTimeout(() => stoppedTyping(name), typingTime))
  view.showTyping([...typing.keys()])
}

function stoppedTyping (name: string): void {
  clearTimeout(typing.get(name))
  typing.delete(name)
  view.showTyping([...typing.keys()])
}

async function kick (name: string): Promise<void> {
  if (current === null) return
  const result = await client.tryInvoke('kick', { room: current.id, name })
  if (!result.ok) view.addNotice(result.error.message)
}

async function each<T> (stream: AsyncIterable<T>, handle: (value: T) => void): Promise<void> {
  for await (const value of stream) handle(value)
}

/** Shows what fits: the chat to somebody who is logged in, else the login. */
function showState (): void {
  if (socket.authToken === null) {
    leave()
    me = null
    view.showLogin()
    return
  }
  me = { name: String(socket.authToken.name), moderator: socket.authToken.moderator === true }
  view.showChat(me)
  if (current === null) enter(rooms[0].id)
}

view.showConnection(false)
each(socket.listener('connect'), () => {
  view.showConnection(true)
  showState()
  const entered = current
  // After a lost connection the subscription comes back by itself; what was missed is asked for.
  entered?.channel.subscribed().then(() => refresh(entered)).catch(() => {})
})
each(socket.listener('disconnect'), () => view.showConnection(false))
each(socket.listener('connectAbort'), () => view.showConnection(false))
each(socket.listener('authenticate'), showState)
each(socket.listener('deauthenticate'), showState)
each(socket.listener('error'), ({ error }) => console.warn(error))
each(socket.listener('kickOut'), ({ channel, message }) => {
  if (channel !== current?.channel.name) return
  view.showBanner(message ?? 'You were kicked out of the room')
  view.showPeople([], me!, kick)
  for (const name of [...typing.keys()]) stoppedTyping(name)
})

const features = await fetch('/features').then((response) => response.json()) as { asyncapi: boolean }
if (features.asyncapi) view.showDocsLink()
