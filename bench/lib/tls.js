import { generate } from 'selfsigned'

let made

/** A certificate that lasts as long as this run. */
export async function certificate () {
  made ??= generate([{ name: 'commonName', value: 'localhost' }], { algorithm: 'sha256', keySize: 2048 })
  const { private: key, cert } = await made
  return { key, cert }
}
