//! Azure clouds, their endpoints, and endpoints of one's own.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// An Azure cloud: <https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cloud {
    /// The worldwide cloud.
    #[default]
    Public,
    /// Azure for the government of the United States.
    UsGovernment,
    /// Azure in China, operated by 21Vianet.
    China,
}

/// The endpoint of Azure Resource Manager, and the cloud whose tokens it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    pub(crate) cloud: Cloud,
    pub(crate) arm: Url,
    pub(crate) api_version: ApiVersion,
}

/// An Entra endpoint of another cloud than the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherCloud {
    authority: String,
    its: Cloud,
    asked: Cloud,
}

/// A version of the API of Microsoft.ManagedIdentity, for example `2023-01-31`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiVersion(String);

/// A value that cannot be used as an endpoint or API version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEndpoint {
    what: &'static str,
    value: String,
    rule: &'static str,
}

// === impl Cloud ===

impl Cloud {
    /// The cloud that was asked for; else the one whose Entra is at `authority`, as the pod webhook sets `AZURE_AUTHORITY_HOST` in
    /// each cloud; else the worldwide one.
    ///
    /// # Errors
    /// When `authority` belongs to another cloud than the one that was asked for: Azure Resource Manager would refuse every token.
    pub fn choose(asked: Option<Self>, authority: Option<&str>) -> Result<Self, OtherCloud> {
        let its = authority.and_then(|authority| Some((authority, Self::of_authority(authority)?)));
        match (asked, its) {
            (Some(asked), Some((authority, its))) if its != asked => Err(OtherCloud {
                authority: authority.to_owned(),
                its,
                asked,
            }),
            (Some(cloud), _) | (None, Some((_, cloud))) => Ok(cloud),
            (None, None) => Ok(Self::default()),
        }
    }

    /// The cloud whose Entra is at a URL, if it is one of Microsoft's: a simulator or a proxy is of no cloud.
    fn of_authority(url: &str) -> Option<Self> {
        match Url::parse(url).ok()?.host_str()? {
            "login.microsoftonline.com" | "login.microsoft.com" | "login.windows.net" | "sts.windows.net" => {
                Some(Self::Public)
            }
            "login.microsoftonline.us" => Some(Self::UsGovernment),
            "login.chinacloudapi.cn" | "login.partner.microsoftonline.cn" => Some(Self::China),
            _ => None,
        }
    }

    const fn arm(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com",
            Self::UsGovernment => "https://management.usgovcloudapi.net",
            Self::China => "https://management.chinacloudapi.cn",
        }
    }

    /// The scope of tokens for Azure Resource Manager. It stays the cloud's own when another endpoint is used: a
    /// proxy or a private endpoint accepts the tokens of the service behind it.
    pub(crate) const fn arm_scope(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com/.default",
            Self::UsGovernment => "https://management.usgovcloudapi.net/.default",
            Self::China => "https://management.chinacloudapi.cn/.default",
        }
    }

    pub(crate) const fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::UsGovernment => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::UsGovernment => "usgov",
            Self::China => "china",
        })
    }
}

// === impl OtherCloud ===

impl fmt::Display for OtherCloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authority, its, asked } = self;
        write!(
            f,
            "AZURE_AUTHORITY_HOST is {authority}, of the cloud {its}, and the operator is told to use {asked}: say {its}, or nothing, and the \
             cloud is the one of AZURE_AUTHORITY_HOST"
        )
    }
}

impl std::error::Error for OtherCloud {}

// === impl Endpoints ===

impl Endpoints {
    /// The endpoints of a cloud, or of the Azure Resource Manager at `arm`, which accepts that cloud's tokens.
    ///
    /// # Errors
    /// When `arm` is anything but `https://host[:port]`: tokens are sent there and nowhere else.
    pub fn new(cloud: Cloud, arm: Option<&str>, api_version: ApiVersion) -> Result<Self, InvalidEndpoint> {
        let arm = InvalidEndpoint::unless_bare("endpoint of Azure Resource Manager", arm.unwrap_or(cloud.arm()))?;
        Ok(Self {
            cloud,
            arm,
            api_version,
        })
    }
}

// === impl ApiVersion ===

impl ApiVersion {
    /// The version that is used unless another is asked for: the one that the models of `azure_mgmt_msi` describe.
    pub const DEFAULT: &'static str = "2023-01-31";

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ApiVersion {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl FromStr for ApiVersion {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const DATE: &str = "dddd-dd-dd";
        let date = text.strip_suffix("-preview").unwrap_or(text);
        let fits = date.len() == DATE.len()
            && date.bytes().zip(DATE.bytes()).all(|(byte, shape)| match shape {
                b'd' => byte.is_ascii_digit(),
                other => byte == other,
            });
        if !fits {
            return Err(InvalidEndpoint {
                what: "API version",
                value: text.to_owned(),
                rule: "it must be a date such as 2023-01-31, perhaps with -preview",
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl InvalidEndpoint ===

impl InvalidEndpoint {
    /// A URL that is `https://host[:port]` and nothing else.
    pub(crate) fn unless_bare(what: &'static str, text: &str) -> Result<Url, Self> {
        let invalid = || Self {
            what,
            value: text.to_owned(),
            rule: "it must be https://<host>, perhaps with a port, and nothing after that",
        };
        let url = Url::parse(text).map_err(|_| invalid())?;
        let bare = url.scheme() == "https"
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        bare.then_some(url).ok_or_else(invalid)
    }
}

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an {}: {}", self.value, self.what, self.rule)
    }
}

impl std::error::Error for InvalidEndpoint {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloud_has_an_endpoint_and_asks_tokens_for_it() {
        for cloud in [Cloud::Public, Cloud::UsGovernment, Cloud::China] {
            let endpoints = Endpoints::new(cloud, None, ApiVersion::default()).unwrap();
            assert_eq!(format!("{}.default", endpoints.arm), cloud.arm_scope());
            assert!(cloud.authority().starts_with("https://login."));
        }
    }

    #[test]
    fn the_cloud_is_the_one_whose_entra_the_pod_webhook_names() {
        for (authority, cloud) in [
            ("https://login.microsoftonline.com/", Cloud::Public),
            ("https://login.microsoftonline.com", Cloud::Public),
            ("https://login.microsoftonline.us/", Cloud::UsGovernment),
            ("https://login.microsoftonline.us", Cloud::UsGovernment),
            ("https://login.chinacloudapi.cn/", Cloud::China),
            ("https://login.chinacloudapi.cn", Cloud::China),
            ("https://LOGIN.partner.microsoftonline.cn", Cloud::China),
        ] {
            assert_eq!(Cloud::choose(None, Some(authority)), Ok(cloud), "{authority}");
            assert_eq!(Cloud::choose(Some(cloud), Some(authority)), Ok(cloud), "{authority}");
        }
        let elsewhere = Some("https://127.0.0.1:8443/");
        assert_eq!(Cloud::choose(None, elsewhere), Ok(Cloud::Public));
        assert_eq!(Cloud::choose(Some(Cloud::China), elsewhere), Ok(Cloud::China));
        assert_eq!(Cloud::choose(None, None), Ok(Cloud::Public));
        assert_eq!(Cloud::choose(Some(Cloud::UsGovernment), None), Ok(Cloud::UsGovernment));
    }

    #[test]
    fn entra_of_another_cloud_is_told_before_every_token_is_refused() {
        let refused = Cloud::choose(Some(Cloud::Public), Some("https://login.microsoftonline.us/")).unwrap_err();
        let told = refused.to_string();
        for part in ["https://login.microsoftonline.us/", "usgov", "public"] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn an_endpoint_of_ones_own_is_a_host_and_nothing_else() {
        let parse = |text| Endpoints::new(Cloud::Public, Some(text), ApiVersion::default());
        assert_eq!(
            parse("https://127.0.0.1:8443").unwrap().arm.as_str(),
            "https://127.0.0.1:8443/"
        );
        for text in [
            "",
            "management.azure.com",
            "http://management.azure.com",
            "https://user@management.azure.com",
            "https://:secret@management.azure.com",
            "https://management.azure.com/subscriptions",
            "https://management.azure.com/?api-version=2",
            "https://management.azure.com/#x",
            "file:///etc/passwd",
        ] {
            let message = parse(text).expect_err(text).to_string();
            assert!(message.contains("https://<host>"), "{message}");
        }
    }

    #[test]
    fn an_api_version_is_a_date() {
        for text in ["2018-11-30", "2026-05-31", "2023-07-31-preview"] {
            assert_eq!(text.parse::<ApiVersion>().unwrap().to_string(), text);
        }
        for text in ["", "2023", "2023-1-31", "2023-01-31-beta", "2023-01-31&x=y", "latest"] {
            assert!(text.parse::<ApiVersion>().is_err(), "{text}");
        }
    }
}
