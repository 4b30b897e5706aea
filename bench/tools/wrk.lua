-- Requests for wrk: GET of the URL it is given, whole or, with an argument, at
-- random offsets of a file of that many bytes, 64 KiB each, aligned to nothing.
-- They are made before it starts: wrk has one of two processors, and must not
-- be what is measured.  Prints a line of figures.

local range = 65536
local requests = {}
local last = 0

function init(args)
    local size = tonumber(args[1])

    math.randomseed(os.time())

    for n = 1, size and 5000 or 1 do
        if size then
            local first = math.random(0, size - range)

            wrk.headers['Range'] = string.format('bytes=%d-%d', first,
                                                 first + range - 1)
        end

        requests[n] = wrk.format()
    end
end

function request()
    last = last % #requests + 1

    return requests[last]
end

function done(summary, latency, requests)
    local e = summary.errors

    io.write(string.format('figures requests=%d bytes=%d us=%d p99=%d '
                           .. 'errors=%d\n', summary.requests, summary.bytes,
                           summary.duration, latency:percentile(99.0),
                           e.connect + e.read + e.write + e.status
                           + e.timeout))
end
