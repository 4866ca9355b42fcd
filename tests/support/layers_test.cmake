# layers.cmake takes the first of these lines in a file of src/tensor and refuses every other.
#   cmake -DLAYERS=layers.cmake -DROOT=<folder to write> -P layers_test.cmake
file(WRITE ${ROOT}/src/session.hpp "")
set(wanted TRUE)
foreach(line "#include <vector>\n#include \"base/tree.hpp\"\n#include <tensor/types.hpp>" "#include \"train/step.hpp\"" "#include <train/step.hpp>"
        "#  include \"comm/groups.hpp\"" "#include \"session.hpp\"" "#include <session.hpp>" "#include \"../session.hpp\"")
  file(WRITE ${ROOT}/src/tensor/probe.hpp "${line}\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${ROOT} -P ${LAYERS} RESULT_VARIABLE result ERROR_QUIET)
  if((wanted AND NOT result EQUAL 0) OR (NOT wanted AND result EQUAL 0))
    message(SEND_ERROR "${line}: layers.cmake ended with ${result}")
  endif()
  set(wanted FALSE)
endforeach()
