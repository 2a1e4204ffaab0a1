import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'

t.test('without the package yaml the document is there as JSON, and YAML says what is missing', async (t) => {
  const child = fork(fileURLToPath(new URL('missing-yaml.ts', import.meta.url)))
  const exit = once(child, 'exit')
  t.teardown(() => { child.kill('SIGKILL') })
  const [told] = await once(child, 'message', { signal: AbortSignal.timeout(60_000) })
  const message = 'The document as YAML needs the package yaml, which is not installed: npm install yaml'
  t.strictSame(told, { errors: [`InvalidOptionsError: ${message}`], json: 200, yaml: [501, message] })
  await exit
})
