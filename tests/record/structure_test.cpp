// What the structure of each kind of record file, and the names of the files of a run, must be: one thing changed at a
// time, and the sentence about it.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>

#include "base/check.hpp"
#include "base/files.hpp"
#include "edit.hpp"
#include "record/record_reader.hpp"
#include "record/verify.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Editor;
using fixtures::Folder;
using fixtures::joined;
namespace fs = std::filesystem;

/// What a reader of the file says, after its code; "" where it opens.
std::string answer(const std::string& path) try {
  const RecordReader reader(path);
  return "";
} catch (const Error& error) {
  return std::to_string(static_cast<int>(error.code())) + " " + error.what();
}

/// A copy of one file of a run of two ranks; the run is written once.
class Structure : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    sound_ = std::make_unique<Folder>();
    RunFolder folder(sound_->path());
    fixtures::write_segment(folder, fixtures::small_config(), 1, 6, 2);
    fixtures::write_checkpoint(sound_->path(), fixtures::small_config(), 6);
  }
  static void TearDownTestSuite() { sound_.reset(); }

  static std::string segment() { return *sound_ / "segments/000/"; }
  /// The answer about a copy of a file of the run after a change; the path is left out of it.
  static std::string after(const std::string& name, const std::function<void(hid_t file)>& change) {
    const Folder folder;
    const std::string path = folder / name;
    files::write_text(path, files::read_text(segment() + name));
    change(Editor(path).id());
    std::string text = answer(path);
    for (auto at = text.find(path); at != std::string::npos; at = text.find(path)) text.replace(at, path.size(), name);
    return text;
  }
  /// All problems of a copy of the run after a change, the path left out of them.
  static std::string of_run(const std::function<void(const std::string& run)>& change) {
    const Folder run;
    fs::copy(sound_->path(), run.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    change(run.path());
    std::string text = joined(verify_path(run.path()).problems);
    const std::string place = run.path() + "/";
    for (auto at = text.find(place); at != std::string::npos; at = text.find(place)) text.erase(at, place.size());
    return text;
  }

  static std::unique_ptr<Folder> sound_;
};
std::unique_ptr<Folder> Structure::sound_;

TEST_F(Structure, NumbersOfARunAreNotNegative) {
  for (const std::string name : {"segment", "ranks", "step_tokens", "top_k", "begins_after"}) {
    const auto set = [&](std::int64_t value) {
      return after("run.h5", [&](hid_t file) {
        H5Adelete(file, name.c_str());
        hdf5::set_attribute(file, name, value, "");
      });
    };
    EXPECT_EQ(set(-1), "4 run.h5 is damaged (its attribute " + name + " is negative)");
    EXPECT_EQ(set(0), name == "ranks"
                          ? "4 run.h5:rank_from is damaged (it has the length 2, and its attribute ranks asks for 0)"
                          : "");
  }
}

TEST_F(Structure, AttributesOfTheRootAreThere) {
  const std::pair<const char*, std::vector<std::string>> wanted[] = {
      {"run.h5",
       {"program_version", "commit", "config", "config_sha256", "provenance", "segment", "ranks", "step_tokens",
        "top_k", "begins_after"}},
      {"evaluation.h5", {"program_version", "commit", "domains"}},
      {"tokens.r0001.h5", {"program_version", "commit"}}};
  for (const auto& [file, names] : wanted)
    for (const std::string& name : names) {
      const std::string text = after(file, [&name](hid_t id) { H5Adelete(id, name.c_str()); });
      EXPECT_EQ(text.find("4 cannot read attribute " + name + " of " + file), 0u) << text;
    }
}

// Files before version 8 have none of these.
TEST_F(Structure, CodesAreThoseOfTheSchema) {
  const auto without = [](const char* name, const char* variable, const char* attribute) {
    return after(name, [=](hid_t file) { H5Adelete_by_name(file, variable, attribute, H5P_DEFAULT); });
  };
  EXPECT_NE(
      without("run.h5", "task_block", "_FillValue").find("4 cannot read attribute _FillValue of run.h5:task_block"),
      std::string::npos);
  EXPECT_NE(without("evaluation.h5", "dropped", "flag_meanings").find("cannot read attribute flag_meanings"),
            std::string::npos);
  EXPECT_EQ(after("evaluation.h5",
                  [](hid_t file) {
                    const hid_t set = H5Dopen2(file, "dropped", H5P_DEFAULT);
                    H5Adelete(set, "flag_meanings");
                    hdf5::set_attribute(set, "flag_meanings", "refused given", "");
                    H5Dclose(set);
                  }),
            "4 evaluation.h5:dropped is damaged (its flags have other meanings)");
}

// 2, not 4: of another program, or no record at all, is no damage.
TEST_F(Structure, SchemaAndVersionAreOnesThatThisProgramKnows) {
  const auto version = [](std::int64_t v) {
    return after("run.h5", [v](hid_t file) {
      H5Adelete(file, "schema_version");
      hdf5::set_attribute(file, "schema_version", v, "");
    });
  };
  for (const std::int64_t v : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{schema_version} + 1})
    EXPECT_EQ(version(v), "2 run.h5 has schema version " + std::to_string(v) + " (this program knows 1 to " +
                              std::to_string(schema_version) + "); use the version that wrote it");
  for (std::int64_t v = 1; v <= schema_version; ++v) EXPECT_EQ(version(v), "") << v;
  const auto without = [](const char* name) { return after("run.h5", [name](hid_t file) { H5Adelete(file, name); }); };
  for (const char* name : {"schema", "schema_version"})
    EXPECT_EQ(without(name), "2 run.h5 is no record file (it has no attribute schema)");
  EXPECT_EQ(after("run.h5",
                  [](hid_t file) {
                    H5Adelete(file, "schema");
                    hdf5::set_attribute(file, "schema", "switchyard-walk", "");
                  }),
            "2 run.h5 has the schema switchyard-walk (this program does not know it)");
}

// A run without a mixture has none of the layers, and no other may lack one of them.
TEST_F(Structure, LayersAreThoseOfTheConfiguration) {
  Config dense = fixtures::small_config();
  dense.moe.experts_per_block = {0, 0, 0, 0};
  const auto with = [](const std::string& text) {
    return after("run.h5", [&text](hid_t file) { fixtures::replace_config(file, text); });
  };
  EXPECT_EQ(with(dump(dense, {})),
            "4 run.h5:layer is damaged (it has the length 2, and its attribute config asks for 0)");
  EXPECT_EQ(with("model: {blocks: 1025}\n"), "4 run.h5 is damaged (no model is as its attribute config says)");
  EXPECT_EQ(with("moe: {experts_per_block: [3, 5]}\nmodel: {blocks: 2}\n"), "");
  EXPECT_EQ(with("moe: {experts_per_block: [3, 4]}\nmodel: {blocks: 2}\n"),
            "4 run.h5:expert is damaged (it has the length 5, and its attribute config asks for 4)");
  EXPECT_EQ(with("moe: {sparks: 7}\n"), "");  // of another version, whose layers are not known
  EXPECT_EQ(after("run.h5",
                  [](hid_t file) {
                    H5Ldelete(file, "layer", H5P_DEFAULT);
                    for (const Variable& v : variables_of(FileKind::run))
                      if (std::find(v.dims.begin(), v.dims.end(), std::string("layer")) != v.dims.end())
                        H5Ldelete(file, v.name, H5P_DEFAULT);
                  }),
            "4 run.h5 lacks the dimension layer (its attribute config asks for 2)");
}

hid_t int32() { return H5T_STD_I32LE; }
hid_t int64() { return H5T_STD_I64LE; }

TEST_F(Structure, DimensionsAndVariablesAreTheSchemas) {
  const auto scope = [](const char* variable, const char* text) {
    return [=](hid_t file) {
      const hid_t set = H5Dopen2(file, variable, H5P_DEFAULT);
      H5Adelete(set, "scope");
      if (*text) hdf5::set_attribute(set, "scope", text, "");
      H5Dclose(set);
    };
  };
  const std::tuple<const char*, std::function<void(hid_t)>, const char*> cases[] = {
      {"run.h5",
       [](hid_t f) {
         fixtures::replace(f, "row", {int64(), {6}, {6}});
       },
       "4 run.h5:row is damaged (it is no dimension)"},
      {"run.h5",
       [](hid_t f) {
         fixtures::replace(f, "phase", {int32(), {17, 1}, {17, 1}});
       },
       "4 run.h5:phase is damaged (it is no dimension)"},
      {"evaluation.h5",
       [](hid_t f) {
         fixtures::replace(f, "sample", {int32(), {0}, {1}});
       },
       "4 evaluation.h5:sample is damaged (it has the length 0)"},
      {"evaluation.h5",
       [](hid_t f) {
         fixtures::replace(f, "choice", {int32(), {3}, {3}});
       },
       "4 evaluation.h5:expert is damaged (it has 2 along choice, not 3)"},
      {"tokens.r0001.h5",
       [](hid_t f) {
         fixtures::replace(f, "layer", {int32(), {1}, {1}});
       },
       "4 tokens.r0001.h5:block is damaged (it has 2 along layer, not 1)"},
      // More rows than the dimension has are those of a job that was killed; of fixed variables there are none.
      {"run.h5",
       [](hid_t f) {
         fixtures::replace(f, "row", {int32(), {5}, {3}});
       },
       ""},
      {"run.h5",
       [](hid_t f) {
         fixtures::replace(f, "row", {int32(), {7}, {3}});
       },
       "4 run.h5:step is damaged (it has 6 along row, not 7)"},
      {"evaluation.h5",
       [](hid_t f) {
         fixtures::replace(f, "sample", {int32(), {19}, {19}});
       },
       "4 evaluation.h5:token is damaged (it has 20 along sample, not 19)"},
      {"run.h5", scope("loss", "timing"), "4 run.h5:loss is damaged (it does not have the scope invariant)"},
      {"run.h5", scope("wall_seconds", "invariant"),
       "4 run.h5:wall_seconds is damaged (it does not have the scope timing)"},
      {"run.h5", scope("traffic", ""), "4 run.h5:traffic is damaged (it does not have the scope layout)"},
      {"tokens.r0001.h5", scope("weight", "Invariant"),
       "4 tokens.r0001.h5:weight is damaged (it does not have the scope invariant)"}};
  for (const auto& [file, change, words] : cases) EXPECT_EQ(after(file, change), words);
}

// What lies in a run where no run puts it, and what it lacks.
TEST_F(Structure, FilesOfARunAreWhatTheirNamesSay) {
  const std::string segment = "segments/000/", checkpoint = "checkpoints/step-00000006/";
  const std::tuple<const char*, std::function<void(const std::string&)>, std::string> cases[] = {
      {"sound", [](const std::string&) {}, ""},
      {"rows under another name",
       [&](const std::string& run) { fs::copy(run + "/" + segment + "run.h5", run + "/" + segment + "runs.h5"); },
       segment + "runs.h5 is damaged (it holds switchyard-run, which has another name)\n"},
      {"tokens in the place of the evaluations",
       [&](const std::string& run) {
         fs::rename(run + "/" + segment + "tokens.r0000.h5", run + "/" + segment + "evaluation.h5");
       },
       segment + "evaluation.h5 is damaged (it holds switchyard-tokens, which has another name)\n"},
      {"evaluations in the place of tokens",
       [&](const std::string& run) {
         fs::rename(run + "/" + segment + "evaluation.h5", run + "/" + segment + "tokens.r0000.h5");
       },
       segment + "tokens.r0000.h5 is damaged (it holds switchyard-evaluation, which has another name)\n"},
      {"a file of another program",
       [&](const std::string& run) {
         hdf5::File file = hdf5::File::create(run + "/" + segment + "tokens.r0002.h5");
         file.close();
       },
       segment + "tokens.r0002.h5 is damaged (it has no attribute schema)\n"},
      {"a dataset more",
       [&](const std::string& run) {
         const Editor file(run + "/" + segment + "evaluation.h5");
         H5Ocopy(file.id(), "loss", file.id(), "losses", H5P_DEFAULT, H5P_DEFAULT);
       },
       segment + "evaluation.h5:losses is not in the schema\n"},
      {"no evaluations", [&](const std::string& run) { fs::remove(run + "/" + segment + "evaluation.h5"); },
       segment + "run.h5: 2 evaluations, but evaluation.h5 is missing\n"},
      {"no tokens of one rank", [&](const std::string& run) { fs::remove(run + "/" + segment + "tokens.r0000.h5"); },
       segment + "run.h5: step 2: 16 tokens are sampled, not all 32\n" + segment +
           "run.h5: step 4: 16 tokens are sampled, not all 32\n" + segment +
           "run.h5: step 6: 16 tokens are sampled, not all 32\n"},
      {"the tokens of one rank twice",
       [&](const std::string& run) {
         fs::copy_file(run + "/" + segment + "tokens.r0000.h5", run + "/" + segment + "tokens.r0001.h5",
                       fs::copy_options::overwrite_existing);
       },
       [&] {
         std::string text;
         for (const char* step : {"2", "4", "6"})
           text += segment + "run.h5: step " + step + ": not every token of the step is sampled once\n" + segment +
                   "run.h5: step " + step + ": sampled tokens have other counts than assigned and kept\n";
         return text;
       }()},
      {"a file beside the checkpoint's",
       [&](const std::string& run) { std::ofstream(run + "/" + checkpoint + "notes.txt"); },
       checkpoint + "notes.txt is not in the manifest\n"},
      {"a checkpoint without its manifest",
       [&](const std::string& run) { fs::remove(run + "/" + checkpoint + "manifest.json"); },
       checkpoint + "manifest.json is missing; remove that checkpoint, and the one before it is used\n"},
  };
  for (const auto& [name, change, words] : cases) EXPECT_EQ(of_run(change), words) << name;
}

// The rows before a checkpoint are written before it, so they must be there.
TEST_F(Structure, ACheckpointIsNotAheadOfTheRows) {
  const std::string text =
      of_run([](const std::string& run) { fixtures::write_checkpoint(run, fixtures::small_config(), 8); });
  EXPECT_TRUE(text.ends_with(": rows of steps 7 to 8 are missing (the newest checkpoint is at the last of them)\n"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
}

}  // namespace
