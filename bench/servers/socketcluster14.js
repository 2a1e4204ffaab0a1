import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import socketcluster from 'socketcluster-server-14'
import { versionOf } from '../lib/versions.js'

export const dialect = 'socketcluster1'
export const version = versionOf('socketcluster-server-14')

export async function start ({ tls, deflate }) {
  const http = tls ? createTlsServer(tls) : createServer()
  const scServer = socketcluster.attach(http, { perMessageDeflate: deflate ? { threshold: 0 } : false })
  scServer.on('connection', (socket) => {
    socket.on('echo', (data, res) => res(null, data))
  })
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve))
  return {
    port: http.address().port,
    publish: (channel, data) => scServer.exchange.publish(channel, data),
    connected: () => scServer.clientsCount
  }
}
