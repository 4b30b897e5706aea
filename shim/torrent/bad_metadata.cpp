/*
 * Peers that gave wrong metadata.
 *
 * libtorrent goes on asking them: the time for which ut_metadata wants to leave
 * them alone is ignored for peers that say they have it, and every three
 * seconds it asks whoever comes first in its list.  That may be the same one
 * for ever, with a good one beside.
 *
 * Metadata of more than a block may come from several peers, and nobody knows
 * whose block is wrong.  So all of them but one are disconnected, another one
 * each time; libtorrent dials them again after a pause of seconds.  If that one
 * is good, it gives all of it in between; if not, it is the only suspect then.
 */

#include <algorithm>

#include <libtorrent/bdecode.hpp>
#include <libtorrent/error_code.hpp>
#include <libtorrent/operations.hpp>

#include "shim/torrent/peer.hpp"

namespace shim
{

namespace
{

/* BEP 9; the number is the one that libtorrent tells peers for ut_metadata */
constexpr int ut_metadata = 2;
constexpr int msg_data = 1;

} // namespace

/* Called for each part of a message that has come, before ut_metadata is. */
bool peer::on_extended(
    int const, int const msg, lt::span<char const> const body)
{
    lt::error_code ec;

    if (msg != ut_metadata || m_suspect || m_torrent->info())
        return false;

    lt::bdecode_node const node = lt::bdecode(body, ec);

    m_suspect = !ec && node.type() == lt::bdecode_node::dict_t
        && node.dict_find_int_value("msg_type", -1) == msg_data;

    return false;
}

void peer::drop_suspect()
{
    if (!m_suspect || m_gone || m_pc.is_disconnecting())
        return;

    m_pc.disconnect(lt::errors::mismatching_info_hash,
        lt::operation_t::bittorrent,
        lt::peer_connection_interface::failure);
}

void torrent::metadata_refused()
{
    std::vector<std::shared_ptr<peer>> suspects;

    for (auto const& weak : peers)
    {
        auto p = weak.lock();

        if (p && p->suspect())
            suspects.push_back(std::move(p));
    }

    if (suspects.size() > 1)
    {
        auto const lucky = suspects.begin()
            + std::ptrdiff_t(m_metadata_refused++ % suspects.size());

        (*lucky)->acquit();
        suspects.erase(lucky);
    }

    for (auto const& p : suspects)
        p->drop_suspect();
}

} // namespace shim
