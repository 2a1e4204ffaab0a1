import { keptMemory } from './kept-memory.js'

keptMemory('channels')
