// The cases of cases/grpc.
import { runArea } from "./area.ts";

runArea("grpc");
