import { create } from 'socketcluster-client'
import { recovering, type ScClientChannel, typedClient } from 'fastify-socketcluster/client'
import type { Contract, Person, RoomNews } from '../contract.js'
import { rooms } from '../room-list.js'
import { CatchingUp, Cut } from './outage.js'
import { watchPeople } from './people.js'
import * as view from './view.js'

/** Milliseconds for which somebody counts as typing after their last key. */
const typingTime = 4_000

/** How many messages a newcomer to a room sees. */
const lastMessages = 50
/** Seconds for which the connection is cut: `?cut=5` for less. */
const cutTime = Math.min(600, Math.max(1, Number(new URLSearchParams(location.search).get('cut')) || 30))

// With this codec the client gets what it missed while it had no connection.
const socket = create({ codecEngine: recovering() })
// Events, answers and messages have the types of the contract from here on.
const client = typedClient<Contract>(socket)

let me: Person | null = null
interface Entered {
  readonly id: string
  readonly channel: ScClientChannel<RoomNews>
  readonly stop: () => void
  /** Whether the last messages were shown, so that only news are missing. */
  isLoaded: boolean
}
let current: Entered | null = null
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

const cut = new Cut(socket, cutTime, (secondsLeft) => {
  if (secondsLeft === null) view.showConnection('off')
  view.showCut(secondsLeft, cutTime)
})
const catchingUp = new CatchingUp(view.showRecovery)
view.elements.cut.addEventListener('click', () => { cut.isOn ? cut.end() : cut.begin() })

let toldAt = 0
view.elements.text.addEventListener('input', () => tellTyping(view.elements.text.value !== ''))
view.elements.text.addEventListener('blur', () => tellTyping(false))

/** Tells the room, though not with every key. */
function tellTyping (on: boolean): void {
  // A message would bring the connection back.
  if (current === null || cut.isOn || (on ? Date.now() - toldAt < typingTime / 2 : toldAt === 0)) return
  toldAt = on ? Date.now() : 0
  client.transmit('typing', { room: current.id, on })
}

async function enter (id: string): Promise<void> {
  leave()
  const room = rooms.find((room) => room.id === id) ?? rooms[0]
  view.showRooms(rooms, room.id, enter)
  view.showRoom(room)
  const channel = client.subscribe('room/:id', { id: room.id }, { waitForAuth: true })
  const stopNews = channel.watch(onNews)
  const stopPeople = watchPeople(socket, room.id, (people) => { if (me !== null && channel.state !== 'unsubscribed') view.showPeople(people, me, kick) })
  const entered: Entered = { id: room.id, channel, stop: () => { stopNews(); stopPeople() }, isLoaded: false }
  current = entered
  try {
    await channel.subscribed()
    await load(entered)
  } catch (err) {
    if (current === entered && channel.state === 'unsubscribed') view.showBanner((err as Error).message)
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

/** Shows what was said last. What came meanwhile is in it, and what comes later is not. */
async function load (entered: Entered): Promise<void> {
  const { messages } = await entered.channel.history({ limit: lastMessages })
  if (current !== entered || me === null) return
  entered.isLoaded = true
  view.showNews(messages.map(({ data }) => data), me.name)
}

function onNews ({ message, typing, notice }: RoomNews): void {
  if (me === null) return
  if (typing !== undefined) {
    if (typing.from === me.name) return
    stoppedTyping(typing.from)
    if (typing.on) startedTyping(typing.from)
    return
  }
  const isMissed = catchingUp.isMissed()
  if (message !== undefined) {
    stoppedTyping(message.from)
    view.addMessage(message, me.name, isMissed)
  }
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

view.showCut(null, cutTime)
view.showConnection('off')
each(socket.listener('connect'), () => {
  view.showConnection('on')
  showState()
  cut.end()
  catchingUp.connected()
  // The subscription comes back by itself, and with it what was missed.
  const entered = current
  if (entered?.isLoaded === false) entered.channel.subscribed().then(() => load(entered)).catch(() => {})
})
each(socket.receiver('recovery'), (recovery) => {
  if (current === null || recovery.channel !== current.channel.name) return
  if (!catchingUp.begin(recovery)) load(current).catch(() => {})
})
each(socket.listener('disconnect'), () => view.showConnection(cut.isOn ? 'cut' : 'off'))
each(socket.listener('connectAbort'), () => view.showConnection('off'))
each(socket.listener('authenticate'), showState)
each(socket.listener('deauthenticate'), showState)
each(socket.listener('error'), ({ error }) => console.warn(error))
each(socket.listener('kickOut'), ({ channel, message }) => {
  if (channel !== current?.channel.name) return
  view.showBanner(message ?? 'You were kicked out of the room')
  current.stop()
  view.showPeople([], me!, kick)
  for (const name of [...typing.keys()]) stoppedTyping(name)
})

const features = await fetch('/features').then((response) => response.json()) as { asyncapi: boolean }
if (features.asyncapi) view.showDocsLink()
