import { scError } from '../../errors.js'

/**
 * Loads the client library of an engine. It is an optional dependency, installed only by applications that use the engine.
 * @param who the function that needs it, for the error
 * @throws ScError that names the package when it is not installed
 */
export async function loadClient<Client> (who: string, name: string, load: () => Promise<Client>): Promise<Client> {
  try {
    return await load()
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw err
    throw scError('SC_ERR_PACKAGE', [who, name, name], { cause: err })
  }
}
