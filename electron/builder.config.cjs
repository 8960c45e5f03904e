// @ts-check
/** How electron-builder packages the desktop app. The fuses take from the binary what the app does not use and an attacker would. */
module.exports = {
  appId: 'dev.holdfast.harbour-mail',
  directories: { output: '../out', buildResources: '../../electron' },
  electronVersion: process.env.HOLDFAST_ELECTRON_VERSION,
  ...(process.env.ELECTRON_OVERRIDE_DIST_PATH && { electronDist: process.env.ELECTRON_OVERRIDE_DIST_PATH }),
  files: ['**/*'],
  npmRebuild: false,
  electronFuses: {
    runAsNode: false,
    enableCookieEncryption: true,
    enableNodeOptionsEnvironmentVariable: false,
    enableNodeCliInspectArguments: false,
    enableEmbeddedAsarIntegrityValidation: true,
    onlyLoadAppFromAsar: true,
    grantFileProtocolExtraPrivileges: false,
  },
  linux: { target: 'AppImage', category: 'Utility', icon: 'icon.png' },
  mac: { target: ['dmg', 'zip'], category: 'public.app-category.productivity', hardenedRuntime: true, icon: 'icon.png' },
  win: { target: 'nsis', icon: 'icon.png' },
}
