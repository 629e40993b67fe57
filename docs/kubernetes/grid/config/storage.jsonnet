local common = import 'common.libsonnet';

local onDisk(folder, index, bytes, newBlocks) = {
  'local': {
    keyLocationMapOnBlockDevice: { file: { path: folder + '/index', sizeBytes: index } },
    keyLocationMapMaximumGetAttempts: 16,
    keyLocationMapMaximumPutAttempts: 64,
    oldBlocks: 8,
    currentBlocks: 24,
    newBlocks: newBlocks,
    blocksOnBlockDevice: {
      source: { file: { path: folder + '/blocks', sizeBytes: bytes } },
      spareBlocks: 3,
    },
    persistent: { stateDirectoryPath: folder + '/state', minimumEpochInterval: '300s' },
  },
};

{
  grpcServers: [{ listenAddresses: [':8981'], authenticationPolicy: { allow: {} } }],
  maximumMessageSizeBytes: common.maximumMessageSizeBytes,
  global: common.global,
  // A blob must fit a block, of which there are 38: 500 GiB take tensors of up to
  // 13 GiB.
  contentAddressableStorage: common.everybody {
    backend: onDisk('/storage/cas', 400 * 1024 * 1024, 500 * 1024 * 1024 * 1024, 3),
    findMissingAuthorizer: { allow: {} },
  },
  actionCache: common.everybody {
    backend: onDisk('/storage/ac', 16 * 1024 * 1024, 1024 * 1024 * 1024, 1), // one, as its entries change
  },
}
