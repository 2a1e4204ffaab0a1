export function median (values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Half the distance between the least and the greatest, as a share of the median. */
export function spread (values) {
  return (Math.max(...values) - Math.min(...values)) / 2 / median(values)
}

/** Whether all values lie within a share around their middle. */
export function flat (rows, share) {
  const values = Object.values(rows)
  const least = Math.min(...values)
  const greatest = Math.max(...values)
  return (greatest - least) / (greatest + least) <= share
}

export async function times (count, job) {
  for (let i = 0; i < count; i++) await job(i)
}
