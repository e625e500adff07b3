// The cases of cases/routing.
import { runArea } from "./area.ts";

runArea("routing");
