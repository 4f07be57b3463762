# Whoever says nothing gets optimized code. Included by each CMakeLists.txt that makes some: a variable set in a folder is unknown above it.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release) # -O3
endif()
