// Runs one of the examples: `npm run build`, then `node examples/run.js hello`.
const name = process.argv[2]
if (name === undefined) {
  console.error('expected the name of an example, as in: node examples/run.js hello')
  process.exit(1)
}
const { start } = await import(`./${name === 'migrate' ? 'migrate/after.cjs' : `${name}.js`}`)
const app = await start({ port: Number(process.env.PORT ?? 8000), logger: true })
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => app.close())
