//! The local certificate authority: what a front is trusted by, where it has to speak TLS itself.
//!
//! It is made at the first start, in a directory of its own that only the owner can enter. A front
//! uses it for refusals, and where it is told to end TLS; any other allowed connection passes it
//! untouched, and meets the backend's certificate. `postern ca issue` gives a backend one by the same authority, so that clients need
//! to trust one certificate.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ServerConfig;
use rustls::{ClientConfig, SupportedProtocolVersion};
use std::collections::{HashMap, VecDeque};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The authority's place in the state directory.
pub const DIRECTORY: &str = "ca";

const KEY_FILE: &str = "ca.key";
const CERTIFICATE_FILE: &str = "ca.pem";
const COMMON_NAME: &str = "Postern local CA";
const DAY: Duration = Duration::from_secs(86_400);
/// Clocks of clients may be behind.
const BEFORE: Duration = DAY;
const CA_LIFE: Duration = DAY.saturating_mul(3650);
/// The longest that clients accept.
const LEAF_LIFE: Duration = DAY.saturating_mul(397);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file of the authority cannot be read or made.
    #[error("local CA: {}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key file holds no key.
    #[error(
        "local CA: {} holds no private key; accepted: the file as postern made it, or none, so \
         that a new authority is made",
        path.display()
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rcgen::Error,
    },
    /// No certificate can have that name.
    #[error("`{name}`: no certificate for it; accepted: a host name or an IP address")]
    Name {
        /// The name.
        name: String,
        /// Why.
        source: rcgen::Error,
    },
    /// A certificate could not be signed.
    #[error("local CA: cannot sign")]
    Sign(#[source] rcgen::Error),
    /// TLS does not take the certificate.
    #[error("local CA: TLS refuses the certificate")]
    Tls(#[from] rustls::Error),
}

/// A certificate and its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, followed by the authority's.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl std::fmt::Debug for Issued {
    /// Leaves the key out: what is logged is read by others.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// The authority.
#[derive(Debug)]
pub struct LocalCa {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl LocalCa {
    /// Opens the authority in `directory`, or makes it.
    ///
    /// # Errors
    ///
    /// A file cannot be read or made, or is damaged.
    pub fn open(directory: &Path) -> Result<Self, CaError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| CaError::File { path, source }
        };
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(directory);
        made.map_err(at(directory))?;
        let key_path = directory.join(KEY_FILE);
        let generate = || Ok(KeyPair::generate().map_err(CaError::Sign)?.serialize_pem());
        let key = read_or_make(&key_path, 0o600, generate)?;
        let key = KeyPair::from_pem(&key).map_err(|source| CaError::Key {
            path: key_path,
            source,
        })?;
        let sign = || {
            let signed = authority().self_signed(&key).map_err(CaError::Sign)?;
            Ok(signed.pem())
        };
        let pem = read_or_make(&directory.join(CERTIFICATE_FILE), 0o644, sign)?;
        Ok(Self {
            directory: directory.to_owned(),
            // Name and key are all that a signature needs of the certificate, and are the same
            // whenever that was made.
            issuer: Issuer::new(authority(), key),
            pem,
        })
    }

    /// Returns the file with the authority's certificate.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(CERTIFICATE_FILE)
    }

    /// Returns the authority's certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate for a host name or an address.
    ///
    /// # Errors
    ///
    /// No certificate can have that name, or the signature failed.
    pub fn issue(&self, name: &str) -> Result<Issued, CaError> {
        let (certificate, key) = self.sign(&[name])?;
        Ok(Issued {
            certificate: format!("{}{}", certificate.pem(), self.pem),
            key: key.serialize_pem(),
        })
    }

    /// Returns how a server speaks TLS under these names: with a certificate of its own, for clients
    /// that trust this authority.
    ///
    /// # Errors
    ///
    /// No certificate can have one of the names, or the signature failed.
    pub fn server(&self, names: &[&str], inside: &str) -> Result<ServerConfig, CaError> {
        let mut config = self.server_of(names, rustls::DEFAULT_VERSIONS)?;
        config.alpn_protocols = vec![inside.as_bytes().to_vec()];
        Ok(config)
    }

    fn server_of(
        &self,
        names: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<ServerConfig, CaError> {
        let (certificate, key) = self.sign(names)?;
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(config)
    }

    /// Returns how a client speaks TLS to servers with a certificate by this authority.
    ///
    /// # Errors
    ///
    /// TLS does not take the authority's certificate.
    pub fn client(&self, inside: &[&str]) -> Result<ClientConfig, CaError> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.pem.as_bytes()).flatten() {
            roots.add(certificate)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn(inside);
        Ok(config)
    }

    fn sign(&self, names: &[&str]) -> Result<(rcgen::Certificate, KeyPair), CaError> {
        let all = names.iter().map(|&name| name.to_owned());
        let mut params =
            CertificateParams::new(all.collect::<Vec<_>>()).map_err(|source| CaError::Name {
                name: names.join(", "),
                source,
            })?;
        let first = names.first().copied().unwrap_or(COMMON_NAME);
        params
            .distinguished_name
            .push(DnType::CommonName, short(first));
        let now = SystemTime::now();
        params.not_before = now.checked_sub(BEFORE).unwrap_or(now).into();
        params.not_after = now.checked_add(LEAF_LIFE).unwrap_or(now).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(CaError::Sign)?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(CaError::Sign)?;
        Ok((certificate, key))
    }
}

/// Returns what the authority's certificate says.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, COMMON_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = SystemTime::now();
    params.not_before = now.checked_sub(BEFORE).unwrap_or(now).into();
    params.not_after = now.checked_add(CA_LIFE).unwrap_or(now).into();
    params
}

/// Returns a name as a common name can hold it; the alternative name has all of it.
fn short(name: &str) -> &str {
    const LONGEST: usize = 64;
    name.get(..name.len().min(LONGEST)).unwrap_or(COMMON_NAME)
}

/// Returns what is in a file; makes it first if it is not there. Of two that make it at once one
/// wins, and both return what is in it then.
fn read_or_make(
    path: &Path,
    mode: u32,
    make: impl FnOnce() -> Result<String, CaError>,
) -> Result<String, CaError> {
    let at = |source| CaError::File {
        path: path.to_owned(),
        source,
    };
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read.map_err(at),
    }
    let text = make()?;
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let written = write(&draft, mode, &text).and_then(|()| std::fs::hard_link(&draft, path));
    let _ = std::fs::remove_file(&draft);
    match written {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(error)),
        _ => std::fs::read_to_string(path).map_err(at),
    }
}

/// Writes a file to the disk.
fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file: File = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The TLS configurations by which fronts refuse, one for a name and protocol, made when it is
/// first asked for and kept for a while.
#[derive(Debug)]
pub struct Certificates {
    ca: Arc<LocalCa>,
    made: Mutex<Made>,
}

/// What runs inside TLS, which decides what a handshake agrees on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inside {
    /// What services speak to a client that they refuse: HTTP of any version, or a protocol that
    /// names none.
    Service,
    /// HTTP that is judged request by request, and goes on.
    Web,
    /// PostgreSQL.
    PostgreSql,
    /// SQL Server's, where TLS comes first.
    Tds,
    /// SQL Server's, where the handshake comes in its packets. Those end with the handshake, and
    /// what TLS 1.3 sends later would have no place.
    TdsPackets,
}

impl Inside {
    /// Returns the protocols by their ALPN names, the one that is preferred first.
    const fn protocols(self) -> &'static [&'static str] {
        match self {
            // Not every service speaks HTTP/2: only who speaks nothing else hears it.
            Self::Service => &["http/1.1", "h2", "http/1.0"],
            Self::Web => &["h2", "http/1.1", "http/1.0"],
            Self::PostgreSql => &["postgresql"],
            Self::Tds => &["tds/8.0"],
            Self::TdsPackets => &[],
        }
    }

    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static OLDER: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
        match self {
            Self::TdsPackets => &OLDER,
            _ => rustls::DEFAULT_VERSIONS,
        }
    }
}

fn alpn(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// What a configuration is for: the name, and what runs inside.
type Use = (String, Inside);

#[derive(Debug, Default)]
struct Made {
    configs: HashMap<Use, Arc<ServerConfig>>,
    /// In the order in which they were made.
    order: VecDeque<Use>,
}

impl Certificates {
    /// The most that are kept.
    const MOST: usize = 1024;

    /// Returns the certificates of an authority.
    #[must_use]
    pub fn new(ca: Arc<LocalCa>) -> Self {
        Self {
            ca,
            made: Mutex::default(),
        }
    }

    /// Returns the authority.
    #[must_use]
    pub fn ca(&self) -> &LocalCa {
        &self.ca
    }

    /// Returns the configuration for a name.
    ///
    /// # Errors
    ///
    /// No certificate can have that name, or signing failed.
    pub fn config(&self, name: &str, inside: Inside) -> Result<Arc<ServerConfig>, CaError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = (name.to_owned(), inside);
        if let Some(config) = made.configs.get(&wanted) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.make(name, inside)?);
        if made.order.len() >= Self::MOST
            && let Some(oldest) = made.order.pop_front()
        {
            made.configs.remove(&oldest);
        }
        made.order.push_back(wanted.clone());
        made.configs.insert(wanted, Arc::clone(&config));
        Ok(config)
    }

    fn make(&self, name: &str, inside: Inside) -> Result<ServerConfig, CaError> {
        let mut config = self.ca.server_of(&[name], inside.versions())?;
        config.alpn_protocols = alpn(inside.protocols());
        if inside != Inside::Web {
            // A refused client has no session to come back to.
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        }
        Ok(config)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A directory that goes away with its owner.
    pub(in crate::front) struct Scratch(pub(in crate::front) PathBuf);

    impl Scratch {
        pub(in crate::front) fn new(name: &str) -> Self {
            let name = format!("postern-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = std::fs::remove_dir_all(&path);
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_authority_is_made_once_and_kept_secret() {
        let scratch = Scratch::new("ca-once");
        let ca = LocalCa::open(&scratch.0).unwrap();
        assert_eq!(mode(&scratch.0.join(KEY_FILE)), 0o600);
        assert_eq!(mode(&scratch.0), 0o700);
        let again = LocalCa::open(&scratch.0).unwrap();
        assert_eq!(ca.pem(), again.pem());
        assert_eq!(std::fs::read_to_string(ca.path()).unwrap(), ca.pem());
        let files = std::fs::read_dir(&scratch.0).unwrap().count();
        assert_eq!(files, 2, "no draft stays behind");
    }

    #[test]
    fn a_damaged_key_is_not_replaced() {
        let scratch = Scratch::new("ca-damaged");
        LocalCa::open(&scratch.0).unwrap();
        let key = scratch.0.join(KEY_FILE);
        std::fs::write(&key, "nothing").unwrap();
        let error = LocalCa::open(&scratch.0).unwrap_err();
        assert!(
            error.to_string().contains("holds no private key"),
            "{error}"
        );
        assert_eq!(std::fs::read_to_string(&key).unwrap(), "nothing");
    }

    #[test]
    fn a_name_that_no_host_has_gets_no_certificate() {
        let scratch = Scratch::new("ca-name");
        let ca = LocalCa::open(&scratch.0).unwrap();
        assert!(matches!(ca.issue("b\u{fc}cher"), Err(CaError::Name { .. })));
        for name in [
            "a.example",
            "20.60.16.5",
            &format!("{}.example", "a".repeat(63)),
        ] {
            let issued = ca.issue(name).unwrap();
            assert_eq!(issued.certificate.matches("BEGIN CERTIFICATE").count(), 2);
            assert!(!format!("{issued:?}").contains("PRIVATE"));
        }
    }

    #[test]
    fn a_protocol_that_nobody_speaks_is_named_by_an_alert() {
        let scratch = Scratch::new("ca-alpn");
        let ca = Arc::new(LocalCa::open(&scratch.0).unwrap());
        let config = Certificates::new(Arc::clone(&ca));
        let config = config.config("a.example", Inside::Service).unwrap();
        let mut server = rustls::ServerConnection::new(config).unwrap();
        let name = rustls::pki_types::ServerName::try_from("a.example").unwrap();
        let client = Arc::new(ca.client(&["acme-tls/1"]).unwrap());
        let mut client = rustls::ClientConnection::new(client, name).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        server.read_tls(&mut &hello[..]).unwrap();
        server.process_new_packets().unwrap_err();
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut &bytes[..]).unwrap();
        let error = client.process_new_packets().unwrap_err();
        let alert = rustls::AlertDescription::NoApplicationProtocol;
        assert_eq!(error, rustls::Error::AlertReceived(alert), "{bytes:?}");
    }

    #[test]
    fn configurations_are_kept_and_bounded() {
        let scratch = Scratch::new("ca-kept");
        let ca = Arc::new(LocalCa::open(&scratch.0).unwrap());
        let certificates = Certificates::new(ca);
        let first = certificates.config("a.example", Inside::Service).unwrap();
        let again = certificates.config("a.example", Inside::Service).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        for at in 0..Certificates::MOST {
            certificates
                .config(&format!("{at}.example"), Inside::Service)
                .unwrap();
        }
        assert_eq!(
            certificates.made.lock().unwrap().configs.len(),
            Certificates::MOST
        );
        let anew = certificates.config("a.example", Inside::Service).unwrap();
        assert!(!Arc::ptr_eq(&first, &anew), "the oldest went");
    }
}
