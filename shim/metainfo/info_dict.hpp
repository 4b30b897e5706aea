/*
 * The info dictionary as the caller sees it, made once per torrent.
 *
 * libtorrent sanitizes names; we show them as they are in the dictionary.
 * Offsets are libtorrent's, so that both speak of the same piece space.
 */

#ifndef CONFLUENCE_SHIM_LAYOUT_HPP
#define CONFLUENCE_SHIM_LAYOUT_HPP

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <libtorrent/bdecode.hpp>
#include <libtorrent/torrent_info.hpp>

#include "shim/base/piece_hashes.hpp"

namespace shim
{

/* The caller's data is bad; the text says how. */
struct invalid_data : std::runtime_error
{
    using std::runtime_error::runtime_error;
};

/* It is not bencoded at all. */
struct malformed_data : invalid_data
{
    using invalid_data::invalid_data;
};

/* A .torrent without info dictionary: good for its trackers only. */
struct no_info : invalid_data
{
    using invalid_data::invalid_data;
};

constexpr std::uint32_t max_pieces = 1U << 21;
constexpr std::uint32_t max_files = 250000;
constexpr std::int64_t max_piece_length = 256 << 20;
constexpr int max_depth = 100;
constexpr int max_tokens = 24000000;
constexpr int max_metainfo = 64 << 20; /* bytes */

struct layout_file
{
    std::uint64_t offset;
    std::uint64_t length;
    std::size_t path; /* in layout::paths */
    std::uint32_t path_len;
    std::uint32_t flags;
};

struct layout
{
    std::string info; /* the dictionary, raw */
    lt::info_hash_t ih;
    std::string name;
    std::string paths;
    std::vector<layout_file> files;
    std::uint32_t piece_length;
    std::uint32_t piece_n;
    std::uint64_t total_size;
    bool single_file;
    bool is_private;
    bool padded; /* has files of padding */
    std::unique_ptr<piece_hashes> hashes;
};

/*
 * Throws invalid_data for an info dictionary that is absurd: told apart from
 * what libtorrent finds because it can say what is wrong.
 */
void check_info(lt::bdecode_node const& info);

/*
 * Nonzero if it is of a v1 torrent without a single byte: no files, or files
 * of no length.  Such a torrent has no pieces, and libtorrent takes none.
 * check_info() has passed.
 */
bool is_empty(lt::bdecode_node const& info);

/* Throws invalid_data. */
std::shared_ptr<layout> make_empty_layout(lt::bdecode_node const& info);
std::shared_ptr<layout> make_layout(lt::torrent_info const& ti);

} // namespace shim

#endif
