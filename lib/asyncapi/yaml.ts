import { scError } from '../errors.js'

/**
 * Loads the YAML serializer of the optional package `yaml`. Without the package the document is only available as JSON.
 * @returns a function that throws SC_ERR_PACKAGE when the package is not installed
 */
export async function loadYaml (): Promise<(document: object) => string> {
  try {
    const { stringify } = await import('yaml')
    return (document) => stringify(document, { aliasDuplicateObjects: false, lineWidth: 0 })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    return () => { throw scError('SC_ERR_PACKAGE', ['The document as YAML', 'yaml', 'yaml'], { statusCode: 501 }) }
  }
}
