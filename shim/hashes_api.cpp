/*
 * Hashes on their own: for bytes that were stored earlier.
 */

#include <cstring>

#include "shim/session.hpp"

/* Keeps the layout alive, whatever becomes of its torrent. */
struct shim_hashes_s
{
    std::shared_ptr<shim::layout const> info;
};

namespace
{

bool is_named(shim::layout const& info, std::uint8_t const* const ih)
{
    return (info.ih.has_v1() && std::memcmp(info.ih.v1.data(), ih, 20) == 0)
        || (info.ih.has_v2() && std::memcmp(info.ih.v2.data(), ih, 20) == 0);
}

} // namespace

extern "C" shim_rc_t shim_hashes(shim_t* s, shim_id_t id, shim_hashes_t** out)
try
{
    shim_slot* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    if (!slot->info)
        return SHIM_NOT_READY;

    *out = new shim_hashes_s{slot->info};
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_hashes_read(
    void const* metainfo, size_t len, uint8_t const* ih, shim_hashes_t** out)
try
{
    shim_add_t a{};
    shim::sources from;
    std::shared_ptr<shim::layout> info;

    a.metainfo = metainfo;
    a.metainfo_len = len;
    shim::make_params(a, info, from);

    if (!is_named(*info, ih))
        return SHIM_INVALID;

    *out = new shim_hashes_s{std::move(info)};
    return SHIM_OK;
}
catch (shim::invalid_data const&)
{
    return SHIM_INVALID;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_hashes_check(
    shim_hashes_t const* h, uint32_t piece, void const* buf, uint32_t len)
try
{
    shim::layout const& info = *h->info;

    if (piece >= info.piece_n || len != info.hashes->piece_size(piece))
        return SHIM_INVALID;

    switch (info.hashes->check(piece, static_cast<char const*>(buf)).result)
    {
    case shim::verdict::good:
        return SHIM_OK;

    case shim::verdict::unknown:
        return SHIM_NOT_READY;

    default:
        return SHIM_INVALID;
    }
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" void shim_hashes_free(shim_hashes_t* h)
{
    delete h;
}
