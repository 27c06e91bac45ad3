#include "client/variable_names.h"

#include <gmock/gmock.h>

#include <string>

namespace longspan {
namespace {

TEST(VariableNamesTest, AMisspeltNameIsRefused_WithTheOneThatWasMeant_AndNoValue) {
  EXPECT_EQ(CheckVariableNames({"PATH=/bin", "LONGSPAN_KEYS=s3cret"}).message(),
            "environment variable LONGSPAN_KEYS is not known; LONGSPAN_KEY is (unset the other)");
  for (const char* variable : {"LONGSPAN_SEVER=a:1", "LONGSPAN_SERVERS=a:1", "LONGSPAN_SRVER=a:1",
                               "LONGSPAN_LISTN=a:1", "LONGSPAN_CAS=x", "LONGSPANKEY=x"})
    EXPECT_FALSE(CheckVariableNames({variable}).ok()) << variable;
}

// The client's check of health runs in the server's environment, and in that of a pod.
TEST(VariableNamesTest, WhatOthersReadIsLetPass) {
  EXPECT_TRUE(CheckVariableNames({"LONGSPAN_SERVER=a:1",
                                  "LONGSPAN_LISTEN=a:1",
                                  "LONGSPAN_KEY=k",
                                  "LONGSPAN_CA=c",
                                  "LONGSPAN_MODEL=m",
                                  "LONGSPAN_CACHE=x",
                                  "LONGSPAN_JOBS=2",
                                  "LONGSPAN_PRESET=x",
                                  "LONGSPAN_HTTP=off",
                                  "LONGSPAN_DTYPE=int8",
                                  "LONGSPAN_TLS_KEY=k",
                                  "LONGSPAN_TLS_CERT=c",
                                  "LONGSPAN_DEVICE=cpu",
                                  "LONGSPAN_THREADS=2",
                                  "LONGSPAN_CONFIG=f",
                                  "LONGSPAN_PREEMPT=true",
                                  "LONGSPAN_SERVICE_HOST=10.0.0.1",
                                  "LONGSPAN_SERVICE_PORT=50051",
                                  "LONGSPAN_PORT=tcp://10.0.0.1:50051",
                                  "LONGSPAN_SERVER_PORT=tcp://10.0.0.1:1"})
                  .ok());
}

}  // namespace
}  // namespace longspan
