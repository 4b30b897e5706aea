#ifndef CONFLUENCE_SHIM_SETTINGS_HPP
#define CONFLUENCE_SHIM_SETTINGS_HPP

#include <libtorrent/ip_filter.hpp>
#include <libtorrent/settings_pack.hpp>

#include "shim/api/shim.h"

namespace shim
{

/* libtorrent's settings for streaming out of mode W (torrent.hpp). */
libtorrent::settings_pack make_settings(shim_config_t const& c);

/* Who is not to be talked to. */
libtorrent::ip_filter make_filter(shim_config_t const& c);

/* A filter of peer classes with everybody in the global class as well. */
libtorrent::ip_filter limit_all(libtorrent::ip_filter const& classes);

} // namespace shim

#endif
