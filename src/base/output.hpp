// Standard output holds results: what does not arrive there gives Exit::storage at the end, whoever printed it, and
// never a signal. What is lost on standard error is not missed.
#pragma once
#include <string>

namespace switchyard::output {

/// Once, before anything else of the process: a closed pipe and a limit on the size of files become errors of the call
/// that meets them, and no file that is opened later takes the number of a closed standard stream.
void prepare();
/// Hands on what was printed; whether all of it has arrived since the start.
bool flush();
/// All lines of standard output stand in `file` too.
void also_in(const std::string& file);
/// Another output of the command did not arrive, in a sentence; the first is kept.
void lose(const std::string& sentence);
/// One sentence where something did not arrive, the first time that it is asked for; else "".
std::string take_loss();

}  // namespace switchyard::output
