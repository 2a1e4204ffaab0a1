// The clients have no types of their own.
declare module 'socketcluster-client-14' {
  export function create (options: object): any
  const client: { create: typeof create }
  export default client
}
declare module 'socketcluster-client' {
  export function create (options: object): any
  const client: { create: typeof create }
  export default client
}
