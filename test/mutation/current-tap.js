// Stands in for `tap` in a file of tests that is run again and again in one process.

/** The test that the file is a part of, and what to do with each test that it declares. */
const current = { file: null, declare: null }

export function use (file, declare) {
  Object.assign(current, { file, declare })
}

export default new Proxy({}, {
  get (_target, key) {
    if (key === 'test') return current.declare
    const value = current.file[key]
    return typeof value === 'function' ? value.bind(current.file) : value
  }
})
