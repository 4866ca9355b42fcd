// A kill may stop a job between any two writes, and in one of them between two pages. This test makes each of these
// states from the writes that HDF5 asked for, and reads every acknowledged row back.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "record/record_reader.hpp"
#include "record/run_file.hpp"
#include "run_fixture.hpp"

namespace {

/// One write of the process, or a change of the file's length where `data` is empty.
struct Write {
  off_t offset;
  std::vector<char> data;
};
std::vector<Write>* journal = nullptr;  // of the file under test, the only one that is open meanwhile

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// HDF5 finds these before the C library's.
extern "C" ssize_t pwrite(int file, const void* data, std::size_t size, off_t offset) {
  const auto* bytes = static_cast<const char*>(data);
  if (journal) journal->push_back({offset, {bytes, bytes + size}});
  return next<ssize_t (*)(int, const void*, std::size_t, off_t)>("pwrite")(file, data, size, offset);
}
extern "C" ssize_t pwrite64(int file, const void* data, std::size_t size, off_t offset) {
  return pwrite(file, data, size, offset);
}
extern "C" int ftruncate(int file, off_t size) noexcept {
  if (journal) journal->push_back({size, {}});
  return next<int (*)(int, off_t)>("ftruncate")(file, size);
}
extern "C" int ftruncate64(int file, off_t size) noexcept { return ftruncate(file, size); }

namespace {

using namespace switchyard;
using namespace switchyard::record;

/// Chunks whose states are made: those in which an index begins, and those in which a B-tree, which would lose rows,
/// splits (the 65th).
bool checked(std::int64_t chunks) { return chunks <= 12 || (chunks >= 60 && chunks <= 70); }

/// What a variable holds of each acknowledged row, from the finished file.
struct Truth {
  std::string variable, dimension;
  std::int64_t row_bytes;
  std::vector<char> data;
};

class Crash : public testing::Test {
 protected:
  void SetUp() override { journal = &writes_; }
  void TearDown() override { journal = nullptr; }
  std::string file() const { return folder_ / "run.h5"; }
  /// From now on `length` rows of `dimension` are acknowledged; `check` as long as nothing else is.
  void acknowledge(const std::string& dimension, std::int64_t length, bool check) {
    acknowledged_.push_back({writes_.size(), dimension, length, check});
  }
  /// Every state from the first acknowledgement on; returns how many there are.
  int replay();

 private:
  struct Acknowledgement {
    std::size_t writes;
    std::string dimension;
    std::int64_t length;
    bool check;
  };
  void read_truth();
  void put(off_t offset, const char* data, std::size_t size);
  std::string wrong() const;

  const fixtures::Folder folder_;
  std::vector<Write> writes_;
  std::vector<Acknowledgement> acknowledged_;
  std::map<std::string, std::int64_t> lengths_;
  std::vector<Truth> truth_;
  std::string image_;
  int image_file_ = -1;
};

void Crash::read_truth() {
  const RecordReader reader(file());
  for (const Variable& v : variables_of(reader.kind())) {
    if (!reader.has(v.name)) continue;
    Truth truth{v.name, v.dims.front(), reader.open(v.name).row_bytes(), {}};
    truth.data.resize(static_cast<std::size_t>(truth.row_bytes * reader.length(truth.dimension)));
    reader.open(v.name).read(0, reader.length(truth.dimension), truth.data.data());
    truth_.push_back(std::move(truth));
  }
}

/// What an acknowledged row lacks in the image; empty where all are there.
std::string Crash::wrong() const try {
  const RecordReader reader(image_);
  for (const auto& [dimension, length] : lengths_)
    if (reader.length(dimension) < length) return dimension + " is too short";
  for (const Truth& truth : truth_) {
    const auto found = lengths_.find(truth.dimension);
    const std::int64_t rows = found == lengths_.end() ? reader.length(truth.dimension) : found->second;
    std::vector<char> data(static_cast<std::size_t>(truth.row_bytes * rows));
    reader.open(truth.variable).read(0, rows, data.data());
    if (!std::equal(data.begin(), data.end(), truth.data.begin())) return truth.variable + " has other values";
  }
  return "";
} catch (const std::exception& error) {
  return error.what();
}

void Crash::put(off_t offset, const char* data, std::size_t size) {
  ASSERT_EQ(::pwrite(image_file_, data, size, offset), static_cast<ssize_t>(size));
}

int Crash::replay() {
  journal = nullptr;
  read_truth();
  image_ = folder_ / "killed.h5";
  image_file_ = open(image_.c_str(), O_CREAT | O_RDWR, 0600);
  int states = 0;
  bool wanted = false;
  auto next = acknowledged_.begin();
  const auto check = [&](std::size_t done) {
    for (; next != acknowledged_.end() && next->writes <= done; ++next)
      lengths_[next->dimension] = next->length, wanted = next->check;
    if (!wanted) return;
    ++states;
    EXPECT_EQ(wrong(), "") << "killed after " << done << " writes of " << writes_.size();
  };
  constexpr off_t page = 4096;
  for (std::size_t w = 0; w < writes_.size() && !HasFailure(); ++w) {
    const auto& [offset, data] = writes_[w];
    if (data.empty()) {
      EXPECT_EQ(::ftruncate(image_file_, offset), 0);
    }
    for (std::size_t done = 0; done < data.size();) {
      const off_t begin = offset + static_cast<off_t>(done);
      const auto size = std::min(data.size() - done, static_cast<std::size_t>((begin / page + 1) * page - begin));
      put(begin, data.data() + done, size);
      done += size;
      if (done < data.size()) check(w);
    }
    check(w + 1);
  }
  close(image_file_);
  return states;
}

TEST_F(Crash, NoStateOfATokenFileLosesARow) {
  const Config config = fixtures::small_config();
  const Range all{0, config.train.batch};
  TokenFile tokens(file(), config, config.step_tokens());
  acknowledge("sample", 0, true);
  for (int step = 1; step <= 140; ++step) {
    tokens.append(step, fixtures::batch_of(config, step, all),
                  fixtures::routing_of(config, fixtures::row_of(config, step, 1), all));
    acknowledge("sample", step * config.step_tokens(), checked(step));
  }
  tokens.close();
  EXPECT_GT(replay(), 400);
}

TEST_F(Crash, NoStateOfAnEvaluationFileLosesARow) {
  const Config config = fixtures::small_config();
  EvaluationFile evaluations(file(), config, fixtures::held_out(config));
  acknowledge("evaluation", 0, true);
  for (int step = 1; step <= 75; ++step) {
    evaluations.append(fixtures::evaluation_of(config, step));
    acknowledge("evaluation", step, checked(step));
  }
  evaluations.close();
  EXPECT_GT(replay(), 300);
}

// With evaluations between the rows, and a last chunk that is not full.
TEST_F(Crash, NoStateOfARunFileLosesARow) {
  const Config config = fixtures::small_config();
  const int chunk = config.record.flush_every;
  RunFile rows(file(), config, 2, "yaml", "{}", 0);
  acknowledge("row", 0, true);
  std::int64_t evaluations = 0;
  for (int step = 1; step <= 70 * chunk + 1; ++step) {
    rows.append(fixtures::row_of(config, step, 2));
    if (step % chunk == 0) acknowledge("row", step, checked(step / chunk));
    if (step % 7 != 0) continue;
    rows.append(EvaluationRow{step, 1.5, 2.0});
    acknowledge("evaluation", ++evaluations, checked(step / chunk));
  }
  rows.close();
  acknowledge("row", 70 * chunk + 1, true);
  EXPECT_GT(replay(), 1000);
}

}  // namespace
