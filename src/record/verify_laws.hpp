// The laws that rows of record files obey (contract C2), apart from the structure of the files.
#pragma once
#include <string>
#include <vector>

#include "record/segments.hpp"

namespace switchyard::record {

/// Problems of one file's rows. All that counts of every growing variable is read once, so that the sums of its chunks
/// are checked; throws Error{corrupt} where one is wrong.
std::vector<std::string> check_rows(const RecordReader& file);
/// A segment's sampled tokens against its rows: there where its options ask for them, complete, and with the same
/// counts. Only one that `ended`, not one that was killed, must have all of its last step.
std::vector<std::string> check_samples(const Segment& segment, bool ended);
/// A segment's evaluation.h5 against run.h5: the same evaluations, experts of the layers only.
std::vector<std::string> check_evaluations(const Segment& segment, bool ended);

}  // namespace switchyard::record
