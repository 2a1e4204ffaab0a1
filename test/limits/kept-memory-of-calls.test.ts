import { keptMemory } from './kept-memory.js'

keptMemory('calls')
