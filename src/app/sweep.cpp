// `switchyard sweep`: many trainings from one file, on a batch system or in a local queue.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <sstream>

#include "app/commands.hpp"
#include "app/launch.hpp"
#include "app/session.hpp"
#include "base/failure.hpp"
#include "base/files.hpp"
#include "base/lock.hpp"
#include "base/output.hpp"
#include "comm/agree.hpp"
#include "config/yaml.hpp"
#include "record/kept_config.hpp"
#include "sweep/branches.hpp"
#include "sweep/queue.hpp"
#include "sweep/results.hpp"
#include "sweep/state.hpp"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

struct SweepOptions {
  std::string path;  ///< a sweep file or the folder of a sweep
  std::vector<std::string> overrides;
  std::string out;
  int task = -1;
  int jobs = 1;
  std::string launch = "mpirun -n {ranks}";
  std::string job = "slurm/array.sbatch";
  std::vector<std::string> batch;
};

/// The steps that a task's run is to have must be in reach of how it was begun: a continuation does not change them.
void check_steps(const std::string& run, std::int64_t steps) {
  const LoadResult kept = load_text(run + "/config.yaml", record::read_config(run));
  throw_errors(kept);
  const std::int64_t begun = kept.config.train.steps;
  check(begun >= steps, Exit::usage,
        run + " was begun with train.steps " + std::to_string(begun) + ", but the sweep says " + std::to_string(steps) +
            "; switchyard resume " + run + " train.steps=" + std::to_string(steps) + " goes on to that");
}

/// The folder that the command works on, made from a sweep file where one is given.
std::string folder_of(const SweepOptions& options) {
  if (fs::is_directory(options.path)) {
    check(options.overrides.empty(), Exit::usage,
          options.path + " is the folder of a sweep, whose tasks are fixed; overrides go with a sweep file");
    check(options.out.empty(), Exit::usage,
          options.path + " is the folder of a sweep already; --out goes with a sweep file");
    return options.path;
  }
  const std::string out = options.out.empty() ? "runs/" + fs::path(options.path).stem().string() : options.out;
  const sweep::Sweep sweep = sweep::read_sweep(options.path, options.overrides);
  for (const std::string& note : sweep.notes) std::fprintf(stderr, "switchyard: note: %s\n", note.c_str());
  sweep::keep_sweep(out, sweep);
  return out;
}

/// The table, then what is in results.h5 and what is not; the code of the first task that had to be left out.
Exit print_state(const std::string& folder, const sweep::Sweep& sweep) {
  std::fputs(sweep::table(folder, sweep).c_str(), stdout);
  output::flush();  // whatever becomes of the results
  const sweep::Results results = sweep::write_results(folder, sweep);
  if (results.rows > 0) std::printf("%s/results.h5: %lld rows\n", folder.c_str(), static_cast<long long>(results.rows));
  for (const Error& e : results.left_out) std::fprintf(stderr, "switchyard: %s\n", e.what());
  return results.left_out.empty() ? Exit::ok : results.left_out.front().code();
}

std::vector<std::string> launch_words(const std::string& launch, int ranks) {
  std::vector<std::string> words;
  if (ranks == 1) return words;
  std::istringstream text(launch);
  for (std::string word; text >> word;) words.push_back(word == "{ranks}" ? std::to_string(ranks) : word);
  return words;
}

Exit queue_command(const SweepOptions& options) {
  const std::string folder = folder_of(options);
  const sweep::Sweep sweep = sweep::kept_sweep(folder);
  const FileLock lock(folder + "/lock", folder);  // of the queue; single tasks have the locks of their runs
  if (!lock.warning().empty()) std::fprintf(stderr, "switchyard: note: %s\n", lock.warning().c_str());
  const Exit code = sweep::run_queue(sweep, {folder, fs::read_symlink("/proc/self/exe").string(),
                                             launch_words(options.launch, sweep.ranks), options.jobs});
  const Exit results = run_alone([&] { return print_state(folder, sweep); });
  return code == Exit::ok ? results : code;
}

/// The sweep that has the task, read on one rank. Collective.
sweep::Sweep sweep_of_task(const comm::Communicator& world, const SweepOptions& options) {
  comm::on_root(world, [&] {
    check(fs::is_directory(options.path), Exit::usage,
          options.path + " is not the folder of a sweep, on which --task works; make one with sweep run or submit");
    files::require_inside(options.path, options.path + "/tasks");
  });
  const std::string file = options.path + "/sweep.json", text = shared_text(world, file);
  sweep::Sweep sweep;
  comm::agree(world, [&] {
    sweep = sweep::parse_sweep(text, file);
    check(options.task < static_cast<int>(sweep.tasks.size()), Exit::usage,
          options.path + ": --task is " + std::to_string(options.task) + "; the sweep has tasks 0 to " +
              std::to_string(sweep.tasks.size() - 1));
  });
  return sweep;
}

/// Trains, continues or finds finished one task. Collective.
Exit task_command(const SweepOptions& options, const std::vector<std::string>& command_line) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  const sweep::Sweep sweep = sweep_of_task(world, options);
  const sweep::Task& task = sweep.tasks[static_cast<std::size_t>(options.task)];
  const std::string run = sweep::run_folder(options.path, task);
  const LoadResult loaded = load_text_on_all(sweep.name, sweep.configuration, task.overrides);
  std::int64_t begun = 0, finished = 0;
  comm::on_root(world, [&] {
    begun = sweep::has_begun(options.path, task);
    finished = sweep::is_finished(options.path, sweep, task);
    sweep::forget_failure(options.path, task);
  });
  comm::broadcast(world, &begun, sizeof begun, 0);
  comm::broadcast(world, &finished, sizeof finished, 0);
  if (finished) {
    if (world.rank() == 0) std::printf("task %d %s: finished already\n", options.task, task.name.c_str());
    return Exit::ok;
  }
  try {
    comm::on_root(world, [&] {
      files::require_inside(options.path, run);
      if (begun) check_steps(run, loaded.config.train.steps);
    });
    return begun ? continue_run(run, {}, command_line)
                 : start_run(loaded, run, command_line,
                             {record::Parent::Kind::branch, sweep::origin_of(options.path, sweep, task)});
  } catch (const std::exception& e) {
    const bool agreed = dynamic_cast<const AgreedError*>(&e) != nullptr;
    if (world.rank() == 0 || !agreed) sweep::note_failure(options.path, task, as_error(e));
    throw;
  }
}

/// "0,5,10", or "0-9" where they are all from the first on.
std::string array_of(const std::vector<std::size_t>& tasks) {
  if (tasks.back() + 1 == tasks.size()) return "0-" + std::to_string(tasks.back());
  std::vector<std::string> numbers;
  for (const std::size_t task : tasks) numbers.push_back(std::to_string(task));
  return join(numbers, ",");
}

/// Submits the tasks as an array, after another job where one is named; returns its number.
std::string submit(const SweepOptions& options, const sweep::Sweep& sweep, const std::string& folder,
                   const std::vector<std::size_t>& tasks, const std::string& after) {
  std::vector<std::string> command{"sbatch", "--parsable", "--array=" + array_of(tasks),
                                   "--ntasks=" + std::to_string(sweep.ranks)};
  if (!after.empty()) command.push_back("--dependency=afterany:" + after.substr(0, after.find(';')));
  command.insert(command.end(), options.batch.begin(), options.batch.end());
  command.insert(command.end(), {options.job, fs::absolute(folder).lexically_normal().string()});
  return sweep::output_of(command, "without Slurm use switchyard sweep run");
}

Exit submit_command(const SweepOptions& options) {
  check(fs::exists(options.job), Exit::usage,
        options.job + ": no such file; give the job script of an array with --job (slurm/array.sbatch of the sources)");
  const std::string folder = folder_of(options);
  const sweep::Sweep sweep = sweep::kept_sweep(folder);
  std::vector<std::size_t> first, branches;  // branches need what the others leave
  for (std::size_t i = 0; i < sweep.tasks.size(); ++i) (sweep.tasks[i].from > 0 ? branches : first).push_back(i);
  for (const std::string& option : options.batch)
    check(branches.empty() || !option.starts_with("--array"), Exit::usage,
          "--sbatch=" + option +
              ": the sweep has branches, which are an array of their own after their trunks; leave it "
              "out (scontrol update JobId=N ArrayTaskThrottle=8 lets eight run at a time)");
  std::string job;
  for (const auto* tasks : {&first, &branches}) {
    if (tasks->empty()) continue;
    job = submit(options, sweep, folder, *tasks, job);
    std::printf("job %s: %zu tasks of %s; switchyard sweep status %s tells how far they are\n", job.c_str(),
                tasks->size(), folder.c_str(), folder.c_str());
  }
  return Exit::ok;
}

Exit status_command(const SweepOptions& options) { return print_state(options.path, sweep::kept_sweep(options.path)); }

void add_source(CLI::App* sub, const std::shared_ptr<SweepOptions>& sweep) {
  sub->add_option("sweep", sweep->path, "sweep file, or the folder of a sweep")->required();
  sub->add_option("overrides", sweep->overrides, "section.key=value, for every task");
  sub->add_option("--out", sweep->out, "folder of the sweep; by default runs/<name of the file>");
}

void add_run(CLI::App* group, Command& command) {
  auto sweep = std::make_shared<SweepOptions>();
  CLI::App* sub = group->add_subcommand("run", "Run the tasks that are not finished, here");
  add_source(sub, sweep);
  sub->add_option("--task", sweep->task, "only this one, on the ranks that this command was started on")
      ->check(number_in(0, std::numeric_limits<int>::max()));
  sub->add_option("--jobs", sweep->jobs, "tasks at a time")->capture_default_str()->check(number_in(1, 1 << 10));
  sub->add_option("--launch", sweep->launch, "starts the ranks of a task that has several")->capture_default_str();
  sub->callback([&command, sweep, sub] {
    command.ranks = sweep->task >= 0 ? Ranks::all : Ranks::root, command.stops_in_order = true;
    if (sweep->task >= 0) refuse_given(*sub, {"overrides", "--jobs", "--launch", "--out"}, "--task");
    command.run = [sweep, line = command.command_line] {
      return sweep->task >= 0 ? task_command(*sweep, line) : queue_command(*sweep);
    };
  });
}

void add_submit(CLI::App* group, Command& command) {
  auto sweep = std::make_shared<SweepOptions>();
  CLI::App* sub = group->add_subcommand("submit", "Hand the tasks to Slurm as an array");
  add_source(sub, sweep);
  sub->add_option("--job", sweep->job, "job script of the array")->capture_default_str();
  sub->add_option("--sbatch", sweep->batch, "an option for sbatch; may be given several times")
      ->expected(1)
      ->take_all();
  sub->callback([&command, sweep] { command.run = [sweep] { return submit_command(*sweep); }; });
}

}  // namespace

void add_sweep(CLI::App& app, Command& command) {
  CLI::App* group = app.add_subcommand("sweep", "Many trainings from one file");
  group->require_subcommand(1);
  add_run(group, command);
  add_submit(group, command);
  auto sweep = std::make_shared<SweepOptions>();
  CLI::App* sub = group->add_subcommand("status", "How far the tasks are; writes results.h5");
  sub->add_option("folder", sweep->path, "folder of the sweep")->required();
  sub->callback([&command, sweep] { command.run = [sweep] { return status_command(*sweep); }; });
}

}  // namespace switchyard
