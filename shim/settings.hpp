#ifndef CONFLUENCE_SHIM_SETTINGS_HPP
#define CONFLUENCE_SHIM_SETTINGS_HPP

#include <libtorrent/settings_pack.hpp>

#include "shim.h"

namespace shim
{

/* libtorrent's settings for streaming out of mode W (torrent.hpp). */
libtorrent::settings_pack make_settings(shim_config_t const& c);

} // namespace shim

#endif
