// Record files that are not what they claim to be: each is Error{corrupt} with its place, before anything is read that
// could crash or fill the memory.
#include <gtest/gtest.h>
#include <hdf5.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <thread>

#include "base/check.hpp"
#include "base/files.hpp"
#include "edit.hpp"
#include "hdf5/probe.hpp"
#include "record/record_reader.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Folder;
using fixtures::replace;
using fixtures::replace_attribute;
using fixtures::replace_config;

std::string write_run(const Folder& folder) {
  const Config config = fixtures::small_config();
  RunFile file(folder / "run.h5", config, 2, dump(config, {}), "{}", 0);
  for (int step = 1; step <= 6; ++step) file.append(fixtures::row_of(config, step, 2));
  file.close();
  return folder / "run.h5";
}

// The library's names are macros with a comma, which nvcc does not take within braces.
hid_t int64() { return H5T_STD_I64LE; }
hid_t int32() { return H5T_STD_I32LE; }

struct Damage {
  const char* words;
  std::function<void(hid_t file)> make;
};

std::string message_of(const std::string& path) try {
  RecordReader reader(path);
  return "";
} catch (const Error& error) {
  EXPECT_EQ(error.code(), Exit::corrupt) << error.what();
  return error.what();
}

const Damage damages[] = {
    {"run.h5:step is damaged (it has another type than int64)", [](hid_t file) { replace(file, "step", {int32()}); }},
    {"run.h5:step is damaged (it has a type that no schema version knows)",
     [](hid_t file) {
       const hid_t text = H5Tcopy(H5T_C_S1);
       H5Tset_size(text, H5T_VARIABLE);
       replace(file, "step", {text, {6}, {3}, false});
     }},
    {"run.h5:step is damaged (it has no dimension)",
     [](hid_t file) {
       replace(file, "step", {int64(), {}, {}});
     }},
    {"run.h5:step is damaged (it has another number of dimensions",
     [](hid_t file) {
       replace(file, "step", {int64(), {6, 2}, {3, 2}});
     }},
    {"run.h5:step is damaged (it has 5 along row, not 6)",
     [](hid_t file) {
       replace(file, "step", {int64(), {5}, {3}});
     }},
    {"run.h5:step is damaged (it is not stored in chunks)",
     [](hid_t file) {
       replace(file, "step", {int64(), {6}, {}});
     }},
    {"run.h5:step is damaged (its chunks are stored in another way",
     [](hid_t file) {
       replace(file, "step", {int64(), {6}, {3}, false});
     }},
    {"run.h5:step is damaged (it claims 48 bytes",  // a chunk of 2 GB: the file has 60 KB
     [](hid_t file) {
       replace(file, "step", {int64(), {6}, {1 << 28}});
     }},
    {"run.h5:step is damaged (it claims 9223372036854775800 bytes, more than",
     [](hid_t file) {
       constexpr hsize_t rows = hsize_t{1} << 60;
       replace(file, "row", {int32(), {rows - 1}, {1}});
       replace(file, "step", {int64(), {rows - 1}, {1}});
       for (const char* name : {"tokens", "loss"}) replace(file, name, {int64(), {rows - 1}, {1}});
     }},
    {"run.h5:assigned is damaged (its chunks are cut along expert)",
     [](hid_t file) {
       replace(file, "assigned", {int64(), {6, 2, 5}, {3, 2, 1}});
     }},
    {"run.h5:step is missing", [](hid_t file) { H5Ldelete(file, "step", H5P_DEFAULT); }},
    {"step is a link to another place",
     [](hid_t file) {
       H5Ldelete(file, "step", H5P_DEFAULT);
       H5Lcreate_soft("/tokens", file, "step", H5P_DEFAULT, H5P_DEFAULT);
     }},
    {"its attribute top_k is not one integer",
     [](hid_t file) { replace_attribute(file, "top_k", H5T_IEEE_F64LE, {1}); }},
    {"its attribute ranks is not one integer",
     [](hid_t file) { replace_attribute(file, "ranks", H5T_STD_I64LE, {7}); }},
    {"its attribute schema is not one text", [](hid_t file) { replace_attribute(file, "schema", H5T_STD_I64LE, {1}); }},
    {"run.h5:timeline_rank is damaged (it has the length 3, and its attribute ranks asks for 2)",
     [](hid_t file) {
       replace(file, "timeline_rank", {int32(), {3}, {3}});
     }},
    {"run.h5:rank_to is damaged (it has the length 1, and its attribute ranks asks for 2)",
     [](hid_t file) {
       replace(file, "rank_to", {int32(), {1}, {1}});
     }},
    {"run.h5:task is damaged (it has the length 0)",
     [](hid_t file) {
       replace(file, "task", {int32(), {0}, {1}});
     }},
    {"run.h5:expert is damaged (it has the length 4, and its attribute config asks for 5)",
     [](hid_t file) {
       replace(file, "expert", {int32(), {4}, {4}});
     }},
    {"no model is as its attribute config says", [](hid_t file) { replace_config(file, "moe: {every: 0}\n"); }},
    {"no model is as its attribute config says",
     [](hid_t file) { replace_config(file, "moe: {experts_per_block: [0, 3]}\n"); }},
    {"attribute units of ",
     [](hid_t file) {
       const hid_t set = H5Dopen2(file, "loss", H5P_DEFAULT);
       H5Adelete(set, "units"), H5Dclose(set);
     }},
    {"attribute begins_after", [](hid_t file) { H5Adelete(file, "begins_after"); }},
    {"does not have the sum config_sha256",
     [](hid_t file) {
       H5Adelete(file, "config");
       hdf5::set_attribute(file, "config", "model: {blocks: 3}\n", "");
     }},
};

TEST(Damage, StructureIsCheckedBeforeItIsRead) {
  for (const Damage& damage : damages) {
    const Folder folder;
    const std::string path = write_run(folder);
    const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    damage.make(file);
    H5Fclose(file);
    const auto start = std::chrono::steady_clock::now();
    const std::string message = message_of(path);
    EXPECT_NE(message.find(damage.words), std::string::npos) << "wanted: " << damage.words << "\ngot: " << message;
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
    EXPECT_EQ(message.find(".cpp"), std::string::npos) << message;
  }
}

TEST(Damage, WhatIsNoFileOfHdf5IsNamed) {
  const Folder folder;
  std::ofstream(folder / "empty.h5");
  std::ofstream(folder / "text.h5") << std::string(5000, 'x');
  EXPECT_NE(message_of(folder / "empty.h5").find("empty.h5"), std::string::npos);
  EXPECT_NE(message_of(folder / "text.h5").find("text.h5"), std::string::npos);
  EXPECT_NE(message_of(folder / "none.h5").find("none.h5"), std::string::npos);
  ASSERT_EQ(mkfifo((folder / "fifo.h5").c_str(), 0600), 0);
  try {
    RecordReader reader(folder / "fifo.h5");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::corrupt);
  }
}

/// A file as HDF5 made it for schema versions 1 and 2: no sums over its structure, text in a heap.
std::string write_old(const Folder& folder) {
  const std::string path = folder / "old.h5";
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t text = H5Tcopy(H5T_C_S1), one = H5Screate(H5S_SCALAR);
  H5Tset_size(text, H5T_VARIABLE);
  for (const char* name : {"schema", "config"}) {
    const hid_t attribute = H5Acreate2(file, name, text, one, H5P_DEFAULT, H5P_DEFAULT);
    EXPECT_GE(H5Awrite(attribute, text, &name), 0);
    H5Aclose(attribute);
  }
  H5Tclose(text), H5Sclose(one), H5Fclose(file);
  return path;
}

// Some of these end in a signal inside HDF5 1.10, which this process survives.
TEST(Damage, NoFlippedByteEndsThisProcess) {
  const Folder folder;
  const std::string path = write_old(folder), sound = files::read_text(path);
  EXPECT_NO_THROW(hdf5::probe(path));
  int refused = 0;
  for (std::size_t at = 0; at < sound.find("GCOL"); ++at) {
    if (sound[at] == 0) continue;
    std::string bytes = sound;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << at % 8));
    std::ofstream(path, std::ios::binary) << bytes;
    try {
      const hdf5::File file = hdf5::File::open(path);
      for (const char* name : {"schema", "config"})
        if (hdf5::has_attribute(file.id(), name)) hdf5::text_attribute(file.id(), name, path);
    } catch (const Error& error) {
      ++refused;
      EXPECT_EQ(error.code(), Exit::corrupt) << error.what();
    }
  }
  EXPECT_GT(refused, 50);
}

/// The same, its first text claiming another length in the heap.
std::string claim_length(const std::string& path, std::size_t byte, char value) {
  std::string bytes = files::read_text(path);
  bytes[bytes.find("GCOL") + 24 + byte] = value;
  std::ofstream(path, std::ios::binary) << bytes;
  try {
    hdf5::probe(path);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::corrupt);
    return error.what();
  }
}

TEST(Damage, AFileOnWhichHdf5FailsIsNamed) {
  const Folder folder;
  const std::string path = write_old(folder);
  const std::string crash = claim_length(path, 1, '\xff'), loop = claim_length(write_old(folder), 0, '\xff');
#if H5_VERSION_GE(1, 10, 9)  // which may have learnt to refuse it
  EXPECT_NE(crash, "");
  EXPECT_NE(loop, "");
#else
  EXPECT_EQ(crash, path + " is damaged (HDF5 itself fails on it)");
  EXPECT_EQ(loop, path + " is damaged (HDF5 itself fails on it, without end)");
#endif
  EXPECT_NO_THROW(hdf5::probe(write_old(folder)));  // another process answers
  std::this_thread::sleep_for(std::chrono::milliseconds(2300));
  EXPECT_NO_THROW(hdf5::probe(path));  // and another, since that one had nothing to do and left
}

}  // namespace
