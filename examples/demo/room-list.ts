/** The rooms there are. */
export const rooms = [
  { id: 'lobby', title: 'Lobby', topic: 'Say hello' },
  { id: 'kitchen', title: 'Kitchen', topic: 'What is cooking' },
  { id: 'workshop', title: 'Workshop', topic: 'What are you making' }
] as const
