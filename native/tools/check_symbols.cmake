# Asserts that an object file of one CPU level defines nothing outside the level's namespace: anything else, a std:: template say, could be
# the copy that the linker keeps for the whole program, and would then run on processors that lack the level's instructions.
#
#   cmake -DNM=nm -DOBJECT=level.o -DNAMESPACE=gatewise::x86_64_v3 -P check_symbols.cmake
execute_process(
  COMMAND "${NM}" --demangle --defined-only --extern-only "${OBJECT}"
  OUTPUT_VARIABLE output COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" symbols "${output}")
if(NOT symbols)
  message(FATAL_ERROR "${OBJECT} defines no symbols at all")
endif()
foreach(symbol IN LISTS symbols)
  # An address, a letter, then the name; a template function's return type may stand before the name.
  if(NOT symbol MATCHES "^[0-9a-f]+ [A-Za-z] ([a-z ]+ )?${NAMESPACE}::" AND NOT symbol MATCHES "DW\\.ref\\.|__odr_asan")
    message(FATAL_ERROR "${OBJECT} defines a symbol outside ${NAMESPACE}: ${symbol}")
  endif()
endforeach()
