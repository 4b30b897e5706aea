/*
 * What a .torrent tells beside its info: where to find peers, and who made it.
 *
 * Kept apart from libtorrent, which shuffles tiers, forgets what it is not to
 * announce to, and knows nothing of comments: a .torrent that we hand out has
 * all that was ever told, in the order it was told.
 */

#ifndef CONFLUENCE_SHIM_SOURCES_HPP
#define CONFLUENCE_SHIM_SOURCES_HPP

#include <string>
#include <utility>
#include <vector>

#include <libtorrent/bdecode.hpp>

namespace shim
{

namespace lt = libtorrent;

/* What is more is not taken: anybody may send a magnet with a tracker. */
constexpr std::size_t max_trackers = 1000;
constexpr std::size_t max_web_seeds = 1000;
constexpr std::size_t max_nodes = 1000;
constexpr std::size_t max_url = 4096;   /* bytes */
constexpr std::size_t max_text = 65536; /* bytes */

struct sources
{
    struct tracker
    {
        std::string url;
        std::uint8_t tier;
    };

    std::vector<tracker> trackers; /* by tier */
    std::vector<std::string> web_seeds;
    std::vector<std::pair<std::string, int>> nodes; /* host and port, BEP 5 */
    std::string comment;
    std::string created_by;
    std::int64_t creation_date = 0; /* seconds since 1970, 0: not told */

    /* False if any tier has it, or it cannot be one. */
    bool add_tracker(std::string const& url, std::uint32_t tier);
    bool add_web_seed(std::string const& url);
    void add_node(std::string const& host, std::int64_t port);
};

/* Entries that are of a wrong type are passed over. */
sources parse_sources(lt::bdecode_node const& root);

} // namespace shim

#endif
