// A chat with login, rooms, who-is-there, who-is-typing and a kick-out, on one port.
import { randomBytes, randomUUID, timingSafeEqual } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import fastifySwagger from '@fastify/swagger'
import Fastify, { type FastifyInstance } from 'fastify'
import scPlugin, { type ScPublishOptions, ScRefusal, type ScServerSocket } from 'fastify-socketcluster'
import scHttp from 'fastify-socketcluster/http'
import { channels, events, type Person, type RoomNews } from './contract.js'
import { rooms as roomList } from './room-list.js'
import { createRooms, type Room } from './rooms.js'

export { roomList as rooms }

export interface DemoOptions {
  /** The folder of the page and its style. */
  publicDir: string
  /** The folder of the compiled browser code. */
  scriptDir: string
  /** Who gives it at login is a moderator. Default: a random one. */
  moderatorCode?: string
  /** Who sends it over HTTP may make announcements. Default: a random one. */
  operatorKey?: string
  /** @default 'warn' */
  logLevel?: string
}

export interface Demo {
  app: FastifyInstance
  moderatorCode: string
  operatorKey: string
}

/** An error that the browser gets to see. */
class Refusal extends ScRefusal {
  constructor (name: string, message: string) {
    super(message, { name })
  }
}

export async function createDemo ({ publicDir, scriptDir, moderatorCode = randomBytes(3).toString('hex'), operatorKey = randomBytes(16).toString('hex'), logLevel = 'warn' }: DemoOptions): Promise<Demo> {
  const app = Fastify({ logger: { level: logLevel } })
  // The document of what can be called over HTTP, at /openapi.json.
  await app.register(fastifySwagger, {
    openapi: { openapi: '3.1.0', info: { title: 'Demo chat', version: '1.0.0' }, components: { securitySchemes: { operator: { type: 'http', scheme: 'bearer' } } } }
  })
  // The key is new with every start, so everybody logs in again then. A real application keeps its key.
  await app.register(scPlugin, { authKey: randomBytes(32).toString('hex'), channels: 'declared' })
  await addDocumentation(app)
  await app.register(pages, { publicDir, scriptDir })

  const rooms = createRooms()
  app.scEvent('login', events.login, async ({ name, code }, { socket }) => {
    if (code !== undefined && !sameText(code, moderatorCode)) throw new Refusal('WrongCodeError', 'That is not the moderator code')
    if (isTaken(app, name, socket)) throw new Refusal('NameTakenError', `Somebody is called ${name} already`)
    const person: Person = { name, moderator: code !== undefined }
    // From here on `socket.authToken` says who this is, and the browser keeps the token for its next visit.
    await socket.setAuthToken({ sub: name, ...person })
    return person
  })
  await app.register(members, { rooms })
  // Announcements come over HTTP, for example by curl. That is all that the key is good for.
  await app.register(scHttp, {
    prefix: '/operator',
    operations: ['publish'],
    openapi: { security: [{ operator: [] }] },
    authorize: ({ headers }, operation) => sameText(headers.authorization ?? '', `Bearer ${operatorKey}`) && operation.operation === 'publish' && operation.channels.every((channel) => channel.startsWith('room/'))
  })
  return { app, moderatorCode, operatorKey }
}

/** What only somebody who is logged in may do: the hook counts for this plugin's events, and not for `login`. */
async function members (app: FastifyInstance, { rooms }: { rooms: Map<string, Room> }): Promise<void> {
  app.scHook('preHandler', async ({ socket }) => {
    if (personOf(socket) === null) throw new Refusal('NotLoggedInError', 'Log in first')
  })

  app.scChannel('room/:id', {
    ...channels['room/:id'],
    // Everybody in the room sees who is there, on `room/<id>#presence`. Who is cut off for half a minute was never away.
    presence: { data: ({ socket }) => ({ moderator: personOf(socket)?.moderator === true }), leaveDelay: 40_000 },
    async subscribe ({ socket, params: { id } }) {
      const person = personOf(socket)
      if (person === null) throw new Refusal('NotLoggedInError', 'Log in first')
      const seconds = roomOf(id).bannedFor(person.name)
      if (seconds > 0) throw new Refusal('KickedOutError', `You were kicked out and can come back in ${seconds} s`)
    }
  })

  app.scEvent('say', events.say, async ({ room, text }, { socket }) => {
    mustBeIn(socket, room)
    const message = { id: randomUUID(), from: personOf(socket)!.name, text, at: Date.now() }
    await tell(room, { message })
    return { id: message.id }
  })

  app.scEvent('typing', events.typing, async ({ room, on }, { socket }) => {
    mustBeIn(socket, room)
    await tell(room, { typing: { from: personOf(socket)!.name, on } }, { history: false })
  })

  app.scEvent('kick', events.kick, async ({ room, name }, { socket }) => {
    const moderator = personOf(socket)!
    if (!moderator.moderator) throw new Refusal('NotModeratorError', 'Only moderators may do that')
    roomOf(room).ban(name)
    // All connections of that user, on every process of a cluster.
    const sockets = await app.scServer.kickOut({ user: name }, `room/${room}`, `${moderator.name} kicked you out of the room`)
    await tell(room, { notice: { text: `${moderator.name} kicked out ${name}` } })
    return { sockets }
  })

  function tell (id: string, news: RoomNews, options?: ScPublishOptions): Promise<void> {
    return app.scChannelOf(channels, 'room/:id', { id }).publish(news, options)
  }

  function roomOf (id: string): Room {
    const room = rooms.get(id)
    if (room === undefined) throw new Refusal('NoSuchRoomError', `There is no room "${id}"`)
    return room
  }
}

/** The page, its code, and the client library as its authors built it for browsers. */
async function pages (app: FastifyInstance, { publicDir, scriptDir }: Pick<DemoOptions, 'publicDir' | 'scriptDir'>): Promise<void> {
  const library = fileURLToPath(new URL('.', import.meta.resolve('socketcluster-client')))
  app.addHook('onSend', async (_request, reply) => {
    reply.header('content-security-policy', "default-src 'self'; frame-ancestors 'none'; base-uri 'none'")
    reply.header('x-content-type-options', 'nosniff')
  })
  await app.register(fastifyStatic, { root: [publicDir, scriptDir] })
  app.get('/socketcluster-client.js', { schema: { hide: true } as object }, (_request, reply) => reply.sendFile('socketcluster-client.min.js', library))
  app.get('/openapi.json', { schema: { hide: true } as object }, () => app.swagger())
  // The page shows its link to the documentation when there is one.
  app.get('/features', { schema: { hide: true } as object }, () => ({ asyncapi: app.hasRoute({ method: 'GET', url: '/asyncapi' }) }))
}

/** The page at /asyncapi that documents what is declared here. */
async function addDocumentation (app: FastifyInstance): Promise<void> {
  const name = 'fastify-socketcluster/asyncapi'
  const plugin = await import(name).catch((err: NodeJS.ErrnoException) => {
    if (err.code !== 'ERR_MODULE_NOT_FOUND') throw err
  })
  if (plugin !== undefined) await app.register(plugin.default, { info: { title: 'Demo chat', version: '1.0.0' } })
}

function personOf ({ authToken }: ScServerSocket): Person | null {
  return authToken as Person | null
}

function mustBeIn (socket: ScServerSocket, room: string): void {
  if (!socket.isSubscribed(`room/${room}`)) throw new Refusal('NotInRoomError', 'You are not in that room')
}

function isTaken (app: FastifyInstance, name: string, self: ScServerSocket): boolean {
  return Object.values(app.scServer.clients).some((socket) => socket !== self && personOf(socket)?.name.toLowerCase() === name.toLowerCase())
}

function sameText (a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
