import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import socketcluster from 'socketcluster-server-20'
import { versionOf } from '../lib/versions.js'

export const dialect = 'socketcluster2'
export const version = versionOf('socketcluster-server-20')

export async function start ({ tls, deflate }) {
  const http = tls ? createTlsServer(tls) : createServer()
  const agServer = socketcluster.attach(http, { perMessageDeflate: deflate ? { threshold: 0 } : false })
  const answer = async (socket) => {
    for await (const request of socket.procedure('echo')) request.end(request.data)
  }
  const accept = async () => {
    for await (const { socket } of agServer.listener('connection')) answer(socket)
  }
  accept()
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve))
  return {
    port: http.address().port,
    publish: (channel, data) => agServer.exchange.transmitPublish(channel, data),
    connected: () => agServer.clientsCount
  }
}
