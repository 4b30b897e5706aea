/*
 * What the pieces of one torrent must hash to, and the check itself.
 *
 * v1 hashes come with the info dictionary.  v2 has one merkle root per file in
 * it; the layer of piece hashes comes with a .torrent, or from peers some time
 * after a magnet's metadata.  A piece whose v2 hash is not known yet can
 * neither be called good nor bad.
 */

#ifndef CONFLUENCE_SHIM_HASHES_HPP
#define CONFLUENCE_SHIM_HASHES_HPP

#include <cstdint>
#include <shared_mutex>
#include <string>
#include <vector>

#include <libtorrent/sha1_hash.hpp>

#include "shim/base/storage.hpp"

namespace shim
{

namespace lt = libtorrent;

constexpr std::uint32_t block_size = 16384;

/* A file as v2 sees it: it begins with a piece and has a tree of its own. */
struct file_tree
{
    std::uint32_t file; /* index, pad files counted */
    std::uint32_t first_piece;
    std::uint32_t piece_n; /* > 0 */
    std::uint64_t length;  /* bytes, > 0 */
    lt::sha256_hash root;
    std::vector<lt::sha256_hash> layer; /* zero: not known; piece_n of them */
};

enum class verdict
{
    good,
    bad,
    unknown,     /* the v2 hash of the piece has yet to come */
    inconsistent /* v1 and v2 of a hybrid contradict each other */
};

struct piece_check
{
    verdict result = verdict::bad;
    lt::sha1_hash v1;                    /* what the bytes hash to */
    std::vector<lt::sha256_hash> blocks; /* same, v2, per block */
};

class piece_hashes
{
public:
    /*
     * v1:    20 bytes per piece, empty if the torrent has none
     * trees: of all files that have bytes, by first_piece; empty if not v2
     */
    piece_hashes(std::uint32_t piece_length,
        std::uint64_t total_size,
        std::string v1,
        std::vector<file_tree> trees);

    bool has_v1() const { return !m_v1.empty(); }
    bool has_v2() const { return !m_trees.empty(); }

    std::uint32_t piece_size(std::uint32_t piece) const;

    /* Nonzero if all that can be known of the piece's hashes is known. */
    bool known(std::uint32_t piece) const;

    /*
     * Takes a file's layer if it hashes to the file's root; any thread.
     * Returns false if it does not.
     */
    bool add_layer(lt::sha256_hash const& root, char const* p, std::size_t len);

    /*
     * Takes what libtorrent has verified so far: one layer per file, pad files
     * counted, zero for hashes that are not known.  Any thread.
     */
    void add_layers(std::vector<std::vector<lt::sha256_hash>> const& layers);

    /* Files' roots with their layers, those that are whole, for a .torrent. */
    std::vector<std::pair<std::string, std::string>> whole_layers() const;

    /* Nonzero if each file larger than a piece has its layer. */
    bool layers_whole() const;

    /* Hashes a piece's bytes, piece_size() of them.  Hash thread. */
    piece_check check(std::uint32_t piece, char const* bytes) const;

private:
    file_tree const* find(std::uint32_t piece) const;
    bool v2_hash(std::uint32_t piece, lt::sha256_hash& hash) const;
    std::uint32_t piece_size2(std::uint32_t piece) const;
    lt::sha256_hash piece_root(
        std::uint32_t piece, std::vector<lt::sha256_hash> blocks) const;
    verdict judge(std::uint32_t piece, piece_check const& c) const;

    std::uint32_t m_piece_length;
    std::uint64_t m_total_size;
    std::string m_v1;
    std::vector<file_tree> m_trees;
    mutable std::shared_mutex m_mutex; /* of the layers */
};

} // namespace shim

#endif
