// What the load says to each kind of server. `handshake(text)` gets the texts that come before the connection is ready, and
// returns what to send next, or true when it is ready. `isPing(text)` tells pings from messages, and `pong(text)` returns the
// answer, or null.

/** @param {string} ping a server that does not know yet which version its client speaks sends both pings: the other one is ignored */
function socketCluster (ping, pong) {
  return {
    path: '/socketcluster/',
    firstText: '{"event":"#handshake","data":{"authToken":null},"cid":1}',
    handshake (text) {
      const { rid, error } = JSON.parse(text)
      if (error !== undefined) throw new Error(`the handshake failed: ${text}`)
      return rid === 1 ? true : null
    },
    isPing: (text) => text === '' || text === '#1',
    pong: (text) => text === ping ? pong : null,
    call: (event, cid, data) => JSON.stringify({ event, data, cid }),
    subscribe: (channel, cid) => JSON.stringify({ event: '#subscribe', data: { channel }, cid }),
    /** Whether the answer to a call says that it failed. */
    failed: (text) => text.includes('"error"')
  }
}

export const dialects = {
  // The handshake is the first call, as in every application that has to know whom it talks to.
  json: {
    ...socketCluster('', ''),
    path: '/',
    isPing: () => false
  },
  socketcluster1: socketCluster('#1', '#2'),
  socketcluster2: socketCluster('', ''),
  socketio: {
    path: '/socket.io/?EIO=4&transport=websocket',
    firstText: null,
    handshake (text) {
      if (text.startsWith('0')) return '40'
      if (text.startsWith('40')) return true
      throw new Error(`the handshake failed: ${text}`)
    },
    isPing: (text) => text === '2',
    pong: () => '3',
    call: (event, cid, data) => `42${cid}${JSON.stringify([event, data])}`,
    subscribe: (channel, cid) => `42${cid}${JSON.stringify(['subscribe', channel])}`,
    failed: () => false
  }
}
