//! Storage classes: the names under which clients ask for profiles.

use cairn_machine::row::Row;
use cairn_machine::rows::profile::{ProfileId, ProfileRow};
use cairn_machine::{RowError, RowSource};
use cairn_metadata::query;
use s3s::dto::StorageClass;
use s3s::s3_error;

use crate::fault::Fault;

/// The profile that a storage class means. Most requests name none, and most others the one that needs no rows.
pub fn profile<S: RowSource + ?Sized>(rows: &S, class: Option<&StorageClass>) -> Result<ProfileId, Fault> {
    match class.map(StorageClass::as_str) {
        None | Some(StorageClass::STANDARD) => Ok(ProfileId::STANDARD),
        Some(class) => {
            let found = query::profiles(rows)?.into_iter().find(|(_, row)| row.class == class);
            found.map(|(id, _)| id).ok_or_else(|| s3_error!(InvalidStorageClass).into())
        }
    }
}

/// What clients call a profile.
pub fn name<S: RowSource + ?Sized>(rows: &S, profile: ProfileId) -> Result<String, RowError> {
    if profile == ProfileId::STANDARD {
        return Ok(StorageClass::STANDARD.to_owned());
    }
    let row = ProfileRow::get(rows, &profile)?;
    Ok(row.ok_or_else(|| RowError::missing::<ProfileRow>(&ProfileRow::key(&profile)))?.class)
}

/// What a GET or HEAD says: nothing where it is STANDARD, as S3 does.
pub fn in_header<S: RowSource + ?Sized>(rows: &S, profile: ProfileId) -> Result<Option<StorageClass>, RowError> {
    if profile == ProfileId::STANDARD { Ok(None) } else { name(rows, profile).map(|name| Some(name.into())) }
}

#[cfg(test)]
mod tests {
    use cairn_core::Geometry;
    use cairn_machine::MapRows;

    use super::*;

    #[test]
    fn a_class_means_the_profile_of_that_name() {
        let mut rows = MapRows::default();
        let cold = ProfileId(7);
        let row = ProfileRow { class: "COLD".into(), geometry: Geometry::standard_for(6) };
        rows.0.insert(ProfileRow::key(&cold), row.encode());
        let class = |name: &str| StorageClass::from(name.to_owned());
        assert_eq!(profile(&rows, None).unwrap(), ProfileId::STANDARD);
        assert_eq!(profile(&rows, Some(&class("STANDARD"))).unwrap(), ProfileId::STANDARD);
        assert_eq!(profile(&rows, Some(&class("COLD"))).unwrap(), cold);
        let error = s3s::S3Error::from(profile(&rows, Some(&class("GLACIER"))).unwrap_err());
        assert_eq!(error.code().as_str(), "InvalidStorageClass");
        assert_eq!(name(&rows, cold).unwrap(), "COLD");
        assert_eq!(in_header(&rows, cold).unwrap(), Some(class("COLD")));
        assert_eq!(in_header(&rows, ProfileId::STANDARD).unwrap(), None);
        assert!(name(&rows, ProfileId(8)).is_err(), "a profile that an object has is there");
    }
}
