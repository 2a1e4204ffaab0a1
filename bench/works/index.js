import { callVariants, callWorks } from './calls.js'
import { connectionWorks } from './connections.js'
import { declaredWork } from './declared.js'
import { fanOutVariants, fanOutWorks } from './fan-out.js'
import { growthWorks } from './growth.js'

/**
 * Works whose one number is compared between servers.
 * `measure(run)` returns it; `budget` is what we allow ourselves: a ratio to another server's.
 */
export const comparisons = [...callWorks, ...fanOutWorks, ...connectionWorks]

/** The same, for us and bare ws alone, over TLS and with compression. */
export const variants = [...callVariants, ...fanOutVariants]

/** Works that give several numbers of one server: `measure(run)` returns lists of values by label; `met` judges their medians. */
export const series = [declaredWork, ...growthWorks]
