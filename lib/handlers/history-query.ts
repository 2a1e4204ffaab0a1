/** The numbers of messages that clients read with one call of `#history`. */
export const queryLimits = { default: 100, most: 300 }
