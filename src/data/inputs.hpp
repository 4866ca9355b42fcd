// Which files the inputs of `switchyard data build` are: what is taken of a folder, and what is left.
#pragma once
#include <string>
#include <vector>

#include "data/documents.hpp"

namespace switchyard::data {

struct InputOptions {
  std::vector<std::string> paths;    ///< files, taken whatever their ending, and folders
  std::vector<std::string> endings;  ///< of folders, taken as text beside .txt, .jsonl and .ndjson: "csv" or ".csv"
  bool all = false;                  ///< of folders, every file, hidden ones too
};

struct Inputs {
  std::vector<Source> sources;  ///< each file once, by device and inode, where it is first met
  std::string note;             ///< "took 3 .txt …; left 1 .csv, …": one line
};

/// Finds the files: of a folder all below it, sorted by path, links to folders not followed, with the name of the first
/// folder below it as domain, or its own. Endings are compared without case; .jsonl and .ndjson hold a document a line,
/// any other file is one document. Every path that is missing, can be read only once (a pipe or device) or gives no
/// file is added to `complaints`. Throws Error{usage} for an ending that is none, and for what cannot be listed.
Inputs find_inputs(const InputOptions& options, Complaints& complaints);

}  // namespace switchyard::data
