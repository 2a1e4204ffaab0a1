function circular (): Error {
  const error = new Error('circular') as Error & { self: unknown, list: unknown[] }
  error.name = 'CircularError'
  error.self = error
  error.list = [{ error }]
  return error
}

/** The mistakes that a handler can make, by event name. */
export const mistakes: Record<string, (data: any, res: (err?: unknown, data?: unknown) => void) => unknown> = {
  throws: () => { throw new Error('password=hunter2 in /srv/app.js') },
  rejects: async () => { throw new Error('password=hunter2') },
  // eslint-disable-next-line prefer-promise-reject-errors
  'rejects with nothing': () => Promise.reject(),
  'throws a text': () => { throw 'password=hunter2' }, // eslint-disable-line no-throw-literal
  'throws null': () => { throw null }, // eslint-disable-line no-throw-literal
  'throws a circle': () => { throw circular() },
  'throws an object': () => { throw { message: 'password=hunter2', toJSON () { throw new Error('toJSON') } } }, // eslint-disable-line no-throw-literal
  'throws a system error': () => { throw Object.assign(new Error('connect ECONNREFUSED db.internal:5432'), { syscall: 'connect', errno: -111 }) },
  'never settles': () => new Promise(() => {}),
  'never answers': (_data, _res) => {},
  'answers twice': (_data, res) => {
    res(null, 'first')
    res(null, 'second')
  },
  'throws after answering': (_data, res) => {
    res(null, 'first')
    throw new Error('late')
  },
  'rejects after answering': async (_data, res) => {
    res(null, 'first')
    throw new Error('late')
  },
  'answers with a circle': (_data, res) => {
    const data: Record<string, unknown> = {}
    data.self = data
    res(null, data)
  },
  'answers with a BigInt': (_data, res) => res(null, 1n),
  'answers with a getter that throws': (_data, res) => res(null, { get a () { throw new Error('getter') } }),
  'fails with a circle': (_data, res) => res(circular()),
  'fails with a BigInt': (_data, res) => res(10n),
  'fails with a function': (_data, res) => res(() => {}),
  'fails with a symbol': (_data, res) => res(Symbol('s')),
  'fails with a getter that throws': (_data, res) => res({ get message () { throw new Error('getter') } })
}

export const mistakeNames = Object.keys(mistakes)
