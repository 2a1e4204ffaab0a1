/**
 * The scripts that keep histories. A channel has these keys in the slot of its topic:
 *
 * - `meta`, a hash: `e` the epoch, `o` the offset of the last message, `k` the check of the last frame
 * - `frames`, a stream with one entry for each frame. The id is `<offset of the last message>-<time in milliseconds>`; the fields
 *   are `n` the number of messages, `k` the check and `b` the frame
 * - `key:<key>`, a string for each `idempotencyKey`, which expires after the ttl. In the key, `%` and `:` are percent-encoded
 *
 * When the hash is missing, a new epoch begins and the stream is deleted: the positions of the old epoch are unknown then.
 */

/**
 * Redis before version 7 allows writes after TIME only when it replicates the effects of a script instead of the script. The first
 * write is one that needs memory: after any other write, Redis no longer refuses what exceeds `maxmemory`.
 */
const begin = `
if redis.replicate_commands then redis.replicate_commands() end
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
local epoch = redis.call('HGET', KEYS[1], 'e')
if not epoch then
  epoch = ARGV[1]
  redis.call('HSET', KEYS[1], 'e', epoch, 'o', 0, 'k', '')
  redis.call('DEL', KEYS[2])
end
`

/** Keeps a frame and publishes it with its position. `count` is the number of its messages, `frame` its text. */
const keep = `
local last = redis.call('HINCRBY', KEYS[1], 'o', count)
redis.call('HSET', KEYS[1], 'k', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local oldest = string.format('%.0f', math.max(0, last - ARGV[5]))
local id = string.format('%.0f', last) .. '-' .. now
redis.call('XADD', KEYS[2], 'MINID', oldest, id, 'n', count, 'k', ARGV[4], 'b', frame)
redis.call('PEXPIRE', KEYS[2], ARGV[6])
local first = string.format('%.0f', last - count + 1)
redis.call(ARGV[7], KEYS[3], 'sc2 ' .. epoch .. ' ' .. first .. ' ' .. ARGV[4] .. ' ' .. now .. ' ' .. frame)
`

/**
 * Keeps a frame and publishes it with its position. Messages older than the size of the history are dropped, except the last one
 * of them: its check proves the position of a client that has all messages up to it.
 *
 * Keys: meta, frames, topic. Arguments: new epoch, ttl of meta, number of messages, check, size, ttl, command, frame.
 * Returns: a space, the epoch and the offset of the first message.
 */
export const publishScript = `${begin}
local count, frame = ARGV[3], ARGV[8]
${keep}
return ' ' .. epoch .. ' ' .. first
`

/**
 * Does the same for a frame with messages that have keys. A message whose key exists, or precedes it in the frame, does not count:
 * its index is put in front of the frame. When no message is left, nothing is kept and published. The keys are written at the end:
 * a frame that Redis refuses can be sent again. The right to write them is looked at before, so that what is refused is not
 * published; Redis before version 7 cannot tell.
 *
 * Keys: the same, and the key of each message that has one. Arguments: the same, and the index of each of these messages.
 * Returns: the indexes of the messages that do not count, separated by commas; then the epoch and the offset of the first message that
 * counts, if there is one.
 */
export const publishOnceScript = `${begin}
local known = redis.call('MGET', unpack(KEYS, 4))
local fresh, given, repeats = {}, {}, {}
for i = 1, #KEYS - 3 do
  local key = KEYS[i + 3]
  if known[i] or given[key] then
    repeats[#repeats + 1] = ARGV[i + 8]
  else
    given[key] = true
    fresh[#fresh + 1] = key
  end
end
local count, frame, left_out = ARGV[3] - #repeats, ARGV[8], table.concat(repeats, ',')
if count == 0 then return left_out end
if fresh[1] and redis.acl_check_cmd and not redis.acl_check_cmd('SET', fresh[1], 1, 'PX', ARGV[6]) then
  return redis.error_reply("NOPERM The user executing the script can't run 'set', which an idempotencyKey needs")
end
if #repeats > 0 then frame = '-' .. left_out .. ' ' .. frame end
count = string.format('%.0f', count)
${keep}
for _, key in ipairs(fresh) do redis.call('SET', key, 1, 'PX', ARGV[6]) end
return left_out .. ' ' .. epoch .. ' ' .. first
`

/**
 * Reads frames: those after an offset, with the frame of the offset itself, the oldest ones that the limits do not exclude, or the
 * newest ones. It stops when it has enough messages or too many bytes.
 *
 * Keys: meta, frames. Arguments: new epoch, ttl of meta, epoch and offset of the position ('*' for the oldest frames, '' for the
 * newest ones), number of messages, maximum number of bytes, '1' to read nothing if there are more messages, size, ttl.
 * Returns: time, epoch, offset and check of the last message, then for each frame its id, number of messages, check and text.
 */
export const readScript = `${begin}
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local meta = redis.call('HMGET', KEYS[1], 'o', 'k')
local result = { now, epoch, meta[1], meta[2] }
local top = tonumber(meta[1])
local wanted = tonumber(ARGV[5])
local forward = ARGV[3] ~= ''
local since = tonumber(ARGV[4])
local oldest = ARGV[3] == '*'
if oldest then
  -- The offset before the first message that has not expired: later messages have later times.
  since = math.max(0, top - ARGV[8])
  local high = top
  while since < high do
    local middle = math.floor((since + high) / 2)
    local frame = redis.call('XRANGE', KEYS[2], string.format('%.0f', middle + 1), '+', 'COUNT', 1)[1]
    local last, time = string.match(frame and frame[1] or '', '^(%d+)-(%d+)$')
    if frame and tonumber(time) <= now - ARGV[9] then since = tonumber(last) else high = middle end
  end
elseif forward then
  local count = top - since
  if ARGV[3] ~= epoch or count < 1 or (ARGV[7] == '1' and count > wanted) then return result end
end
local from = forward and string.format('%.0f', since) or '+'
local count, bytes = 0, 0
while wanted > 0 do
  local frames = forward and redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 16) or redis.call('XREVRANGE', KEYS[2], from, '-', 'COUNT', 16)
  for _, frame in ipairs(frames) do
    local f = frame[2]
    local last = tonumber(string.match(frame[1], '^%d+'))
    if oldest then
      -- What precedes the first frame is gone and does not count.
      since = math.max(since, last - f[2])
      oldest = false
    end
    result[#result + 1] = frame[1]
    result[#result + 1] = f[2]
    result[#result + 1] = f[4]
    result[#result + 1] = f[6]
    bytes = bytes + #f[6]
    if forward then count = last - since else count = count + f[2] end
    if count >= wanted or bytes > tonumber(ARGV[6]) then return result end
    from = '(' .. frame[1]
  end
  if #frames < 16 then return result end
end
return result
`
