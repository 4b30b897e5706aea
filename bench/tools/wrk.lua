-- Requests for wrk: GET of the URL it is given, whole or, with an argument, at
-- random offsets of a file of that many bytes, 64 KiB each, aligned to nothing.
-- Prints a line of figures.

local range = 65536
local size

function init(args)
    size = tonumber(args[1])
    math.randomseed(os.time())
end

function request()
    if not size then
        return wrk.format()
    end

    local first = math.random(0, size - range)

    wrk.headers['Range'] = string.format('bytes=%d-%d', first,
                                         first + range - 1)

    return wrk.format()
end

function done(summary, latency, requests)
    local e = summary.errors

    io.write(string.format('figures requests=%d bytes=%d us=%d p99=%d '
                           .. 'errors=%d\n', summary.requests, summary.bytes,
                           summary.duration, latency:percentile(99.0),
                           e.connect + e.read + e.write + e.status
                           + e.timeout))
end
