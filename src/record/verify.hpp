// Whether what a run wrote is whole and obeys the conservation laws of contract C2.
#pragma once
#include <string>
#include <vector>

namespace switchyard::record {

/// What was found in a run folder (all segments and complete checkpoints), in one checkpoint, or in one HDF5 file.
struct Findings {
  std::vector<std::string> problems;  ///< none if it is sound
  std::vector<std::string> notes;     ///< no damage, but worth a sentence: a job that works on the run now, a
                                      ///< config.yaml that was edited
};
/// Of a run that a job works on what is complete is checked: rows that are acknowledged, checkpoints that stand.
/// Everything is read, so that damaged chunks are found. Throws Error{usage} where `path` is none of these.
///   Every file: schema and version, each variable's type, dimensions and attributes, checksums.
///   run.h5: steps ascend; tokens follow; the loss is the sum of its parts; for each row and layer the sum of assigned
///   is step_tokens * top_k, 0 <= kept <= assigned, nothing beyond a layer's experts; the sum of traffic is the sum of
///   kept; timelines of all steps that are due, and of no others, each task within the step of its rank. tokens:
///   ordered; experts within the layer; together all tokens of their step, with the counts that run.h5 has.
///   Checkpoints: sizes and sha256 of the manifest; run folders: no step missing up to the newest row and checkpoint.
Findings verify_path(const std::string& path);

}  // namespace switchyard::record
