// The programs of a cluster: their command lines and settings.
import fs from "node:fs";
import path from "node:path";

import { PAUSE_IMAGE } from "./images.ts";

/** Names in the one binary (etcd, kubectl and Kubernetes' own). */
export const KUBE_PROGRAMS = [
  "etcd",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kube-proxy",
  "kubectl",
  "kubelet",
] as const;

export const SERVICE_RANGES = "10.96.0.0/16,fd96::/112";
const POD_RANGES = "10.88.0.0/16,fd88::/48";
export const DNS_ADDRESS = "10.96.0.10";

export type Command = readonly string[];

export interface ApiServerOptions {
  readonly credentials: string;
  readonly etcd: string;
  readonly address: string;
  readonly port: number;
  readonly extra?: readonly string[];
}

export function etcdCommand(data: string, client: string, peer: string): Command {
  return [
    "etcd",
    `--data-dir=${data}`,
    "--unsafe-no-fsync",
    "--log-level=warn",
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
  ];
}

export function apiServerCommand({ credentials, etcd, address, port, extra = [] }: ApiServerOptions): Command {
  return [
    "kube-apiserver",
    `--etcd-servers=${etcd}`,
    `--secure-port=${port}`,
    `--bind-address=${address === "127.0.0.1" ? address : "0.0.0.0"}`,
    `--advertise-address=${address}`,
    `--service-cluster-ip-range=${SERVICE_RANGES}`,
    `--tls-cert-file=${credentials}/api.crt`,
    `--tls-private-key-file=${credentials}/api.key`,
    `--token-auth-file=${credentials}/tokens.csv`,
    "--authorization-mode=Node,RBAC",
    `--service-account-key-file=${credentials}/accounts.pub`,
    `--service-account-signing-key-file=${credentials}/accounts.key`,
    "--service-account-issuer=https://kubernetes.default.svc",
    "--allow-privileged=true",
    "--kubelet-preferred-address-types=InternalIP",
    `--cert-dir=${credentials}/made`,
    ...extra,
  ];
}

export function managerCommand(credentials: string): Command {
  return [
    "kube-controller-manager",
    `--kubeconfig=${credentials}/manager.conf`,
    `--service-account-private-key-file=${credentials}/accounts.key`,
    `--root-ca-file=${credentials}/ca.crt`,
    "--use-service-account-credentials",
    "--leader-elect=false",
    "--kube-api-qps=100",
    "--kube-api-burst=200",
    `--cluster-cidr=${POD_RANGES}`,
    `--cluster-signing-cert-file=${credentials}/ca.crt`,
    `--cluster-signing-key-file=${credentials}/ca.key`,
    `--cert-dir=${credentials}/made`,
  ];
}

export function schedulerCommand(credentials: string): Command {
  return [
    "kube-scheduler",
    `--kubeconfig=${credentials}/scheduler.conf`,
    "--leader-elect=false",
    `--cert-dir=${credentials}/made`,
  ];
}

export interface NodeOptions {
  /** 1 or 2. */
  readonly number: 1 | 2;
  /** Everything of this node is written here. */
  readonly folder: string;
  readonly credentials: string;
  readonly cniFolder: string;
  /** Parent of all pods' control groups, as `/name`. */
  readonly controlGroup: string;
}

export interface NodeCommands {
  readonly containerd: Command;
  readonly kubelet: Command;
  readonly proxy: Command;
}

/** Socket of a node's containerd. */
export function socketOf(folder: string): string {
  return path.join(folder, "containerd.sock");
}

/** Writes the settings of a node's programs; gives how they are called. */
export function writeNode({ number, folder, credentials, cniFolder, controlGroup }: NodeOptions): NodeCommands {
  const at = (name: string): string => path.join(folder, name);
  const name = `node${number}`;
  fs.mkdirSync(at("cni"), { recursive: true });
  fs.mkdirSync(at("cni-bin"), { recursive: true });
  // Copies: whoever installs a plugin of its own writes beside them.
  for (const plugin of ["bridge", "host-local", "loopback"])
    fs.copyFileSync(path.join(cniFolder, plugin), at(`cni-bin/${plugin}`));
  fs.writeFileSync(at("containerd.toml"), makeContainerdSettings(folder));
  writeJson(at("cni/10-pods.conflist"), makeNetwork(number, at("addresses")));
  writeJson(at("kubelet.json"), makeKubeletSettings(folder, controlGroup));
  writeJson(at("proxy.json"), {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    clientConnection: { kubeconfig: `${credentials}/proxy.conf` },
    hostnameOverride: name,
    mode: "nftables",
    clusterCIDR: POD_RANGES,
    // The kernel's own: these are not this network namespace's to set.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
  });
  return {
    containerd: ["containerd", "-c", at("containerd.toml")],
    kubelet: [
      "kubelet",
      `--config=${at("kubelet.json")}`,
      `--kubeconfig=${credentials}/${name}.conf`,
      `--root-dir=${at("kubelet")}`,
      `--cert-dir=${at("kubelet/pki")}`,
      `--hostname-override=${name}`,
      `--node-ip=10.77.0.${number},fd77::${number}`,
    ],
    proxy: ["kube-proxy", `--config=${at("proxy.json")}`],
  };
}

function makeContainerdSettings(folder: string): string {
  return `version = 2
root = "${folder}/containerd"
state = "${folder}/containerd-state"
[grpc]
  address = "${socketOf(folder)}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${folder}/cni-bin"
    conf_dir = "${folder}/cni"
`;
}

function makeNetwork(number: number, addresses: string): object {
  const ranges = [[{ subnet: `10.88.${number - 1}.0/24` }], [{ subnet: `fd88:0:0:${number - 1}::/64` }]];
  return {
    cniVersion: "0.4.0",
    name: "pods",
    plugins: [
      {
        type: "bridge",
        bridge: "cni0",
        isGateway: true,
        ipMasq: false,
        // A pod may call itself through its Service.
        hairpinMode: true,
        ipam: {
          type: "host-local",
          dataDir: addresses,
          ranges,
          routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
        },
      },
    ],
  };
}

function makeKubeletSettings(folder: string, controlGroup: string): object {
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    failCgroupV1: false,
    cgroupDriver: "cgroupfs",
    cgroupRoot: controlGroup,
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: "AlwaysAllow" },
    failSwapOn: false,
    containerRuntimeEndpoint: `unix://${socketOf(folder)}`,
    clusterDNS: [DNS_ADDRESS],
    clusterDomain: "cluster.local",
    resolvConf: "",
    makeIPTablesUtilChains: false,
    evictionHard: {
      "nodefs.available": "1%",
      "imagefs.available": "1%",
      "nodefs.inodesFree": "1%",
      "memory.available": "50Mi",
    },
    imageGCHighThresholdPercent: 100,
    syncFrequency: "10s",
    nodeStatusUpdateFrequency: "4s",
    podLogsDir: `${folder}/pod-logs`,
    volumePluginDir: `${folder}/volume-plugins`,
  };
}

function writeJson(file: string, value: unknown): void {
  fs.writeFileSync(file, JSON.stringify(value, undefined, 1));
}
