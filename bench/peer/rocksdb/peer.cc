// A peer: takes fingerprints in by synced batches and says which were new.
//
// Usage: peer DIRECTORY. Requests come on standard input, answers go to
// standard output, numbers in the machine's byte order:
//
//	request: uint32 n, uint32 sync, n sorted keys of 16 bytes
//	answer:  uint64 nanoseconds spent, uint32 keys that were new
//
// Only the time between the last byte of a request and the first byte of its
// answer is counted.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/version.h>
#include <rocksdb/write_batch.h>

namespace {

constexpr size_t kKey = 16;

void check(const rocksdb::Status& s, const char* doing) {
  if (s.ok()) return;
  std::cerr << "rocksdb: " << doing << ": " << s.ToString() << "\n";
  std::exit(1);
}

// Bloom filters on tables and memtable, memtables of 64 MiB, no compression
// (fingerprints do not compress), flushes and compactions beside the writer.
rocksdb::Options options() {
  rocksdb::Options o;
  o.create_if_missing = true;
  o.IncreaseParallelism(static_cast<int>(std::thread::hardware_concurrency()));
  o.compression = rocksdb::kNoCompression;
  o.write_buffer_size = 64 << 20;
  o.max_write_buffer_number = 4;
  o.memtable_whole_key_filtering = true;
  o.memtable_prefix_bloom_size_ratio = 0.1;
  o.recycle_log_file_num = 4;
  o.max_total_wal_size = 4ull << 30;
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_cache = rocksdb::NewLRUCache(256 << 20);
  table.data_block_index_type = rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
  o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return o;
}

class Peer {
 public:
  explicit Peer(const char* directory) {
    check(rocksdb::DB::Open(options(), directory, &db_), "open");
  }
  ~Peer() { delete db_; }

  uint32_t take(const std::vector<char>& keys, bool sync) {
    const size_t n = keys.size() / kKey;
    slices_.clear();
    for (size_t i = 0; i < n; i++) {
      rocksdb::Slice key(&keys[i * kKey], kKey);
      if (slices_.empty() || slices_.back() != key) slices_.push_back(key);
    }
    values_.resize(slices_.size());
    statuses_.resize(slices_.size());
    db_->MultiGet(rocksdb::ReadOptions(), db_->DefaultColumnFamily(), slices_.size(),
                  slices_.data(), values_.data(), statuses_.data(), /*sorted_input=*/true);
    rocksdb::WriteBatch batch(n * (kKey + 8));
    uint32_t fresh = 0;
    for (size_t i = 0; i < slices_.size(); i++) {
      values_[i].Reset();
      if (statuses_[i].ok()) continue;
      if (!statuses_[i].IsNotFound()) check(statuses_[i], "get");
      check(batch.Put(slices_[i], rocksdb::Slice()), "put");
      fresh++;
    }
    rocksdb::WriteOptions write;
    write.sync = sync;
    check(db_->Write(write, &batch), "write");
    return fresh;
  }

 private:
  rocksdb::DB* db_ = nullptr;
  std::vector<rocksdb::Slice> slices_;
  std::vector<rocksdb::PinnableSlice> values_;
  std::vector<rocksdb::Status> statuses_;
};

bool read(void* to, size_t n) { return std::fread(to, 1, n, stdin) == n; }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: peer DIRECTORY (RocksDB " << rocksdb::GetRocksVersionAsString() << ")\n";
    return 2;
  }
  Peer peer(argv[1]);
  std::vector<char> keys;
  for (uint32_t header[2]; read(header, sizeof header);) {
    keys.resize(size_t{header[0]} * kKey);
    if (!read(keys.data(), keys.size())) break;
    const auto start = std::chrono::steady_clock::now();
    const uint32_t fresh = peer.take(keys, header[1] != 0);
    const uint64_t spent = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::steady_clock::now() - start).count();
    std::fwrite(&spent, sizeof spent, 1, stdout);
    std::fwrite(&fresh, sizeof fresh, 1, stdout);
    std::fflush(stdout);
  }
}
