/*
 * The caller's storage of one torrent.  Everyone who may still use it holds a
 * shared_ptr; release() runs when the last of them lets go, exactly once.
 */

#ifndef CONFLUENCE_SHIM_STORAGE_HPP
#define CONFLUENCE_SHIM_STORAGE_HPP

#include "shim/api/shim.h"

namespace shim
{

class storage
{
public:
    storage(shim_storage_t const& calls, void* ctx)
        : m_calls(calls)
        , m_ctx(ctx)
    {
    }

    ~storage() { m_calls.release(m_ctx); }

    storage(storage const&) = delete;
    storage& operator=(storage const&) = delete;

    int begin(std::uint32_t piece, std::uint32_t* generation) const
    {
        return m_calls.begin(m_ctx, piece, generation);
    }

    int write(std::uint32_t piece,
        std::uint32_t generation,
        void const* buf,
        std::uint32_t len) const
    {
        return m_calls.write(m_ctx, piece, generation, buf, len);
    }

    int mark(std::uint32_t piece,
        std::uint32_t generation,
        shim_piece_state_t state) const
    {
        return m_calls.mark(m_ctx, piece, generation, state);
    }

    bool current(std::uint32_t piece, std::uint32_t generation) const
    {
        return m_calls.current(m_ctx, piece, generation) != 0;
    }

    int read(std::uint32_t piece,
        std::uint32_t offset,
        void* buf,
        std::uint32_t len) const
    {
        return m_calls.read(m_ctx, piece, offset, buf, len);
    }

    bool complete(std::uint32_t piece) const
    {
        return m_calls.complete(m_ctx, piece) != 0;
    }

private:
    shim_storage_t m_calls;
    void* m_ctx;
};

} // namespace shim

#endif
