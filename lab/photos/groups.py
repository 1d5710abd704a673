"""Groups of things that the photographs show: which ImageNet classes and COCO categories belong to each.

A photograph of a class is seen once, so a model that never sees its file can only name its group.  Classes that would
fit several groups, or none, are in no group.
"""

from collections.abc import Sequence

_IMAGENET = {
    "dog": """
        Chihuahua Japanese_spaniel Maltese_dog Shih-Tzu Blenheim_spaniel papillon toy_terrier Afghan_hound basset beagle
        bloodhound black-and-tan_coonhound Walker_hound English_foxhound redbone Irish_wolfhound Italian_greyhound
        whippet Ibizan_hound otterhound Saluki Scottish_deerhound Weimaraner American_Staffordshire_terrier
        Bedlington_terrier Border_terrier Kerry_blue_terrier Norfolk_terrier Norwich_terrier Yorkshire_terrier
        wire-haired_fox_terrier Sealyham_terrier Airedale cairn Australian_terrier Boston_bull miniature_schnauzer
        giant_schnauzer standard_schnauzer Tibetan_terrier silky_terrier soft-coated_wheaten_terrier
        West_Highland_white_terrier flat-coated_retriever curly-coated_retriever golden_retriever Labrador_retriever
        German_short-haired_pointer vizsla English_setter Irish_setter Brittany_spaniel clumber English_springer
        Welsh_springer_spaniel Sussex_spaniel Irish_water_spaniel kuvasz schipperke malinois briard kelpie komondor
        Shetland_sheepdog collie Border_collie Bouvier_des_Flandres German_shepherd Doberman miniature_pinscher
        Greater_Swiss_Mountain_dog Appenzeller EntleBucher boxer bull_mastiff French_bulldog Great_Dane Saint_Bernard
        Eskimo_dog Siberian_husky dalmatian affenpinscher basenji Leonberg Newfoundland Great_Pyrenees Samoyed chow
        keeshond Brabancon_griffon Pembroke toy_poodle miniature_poodle standard_poodle Mexican_hairless""",
    "bird": """
        cock hen brambling goldfinch house_finch junco robin bulbul jay magpie water_ouzel kite bald_eagle vulture
        black_grouse ptarmigan ruffed_grouse prairie_chicken quail partridge African_grey macaw lorikeet coucal
        bee_eater hornbill jacamar toucan drake red-breasted_merganser black_swan white_stork black_stork flamingo
        little_blue_heron American_egret bittern limpkin European_gallinule American_coot bustard red-backed_sandpiper
        redshank dowitcher oystercatcher king_penguin albatross""",
    "reptile": """
        European_fire_salamander common_newt eft spotted_salamander bullfrog tree_frog tailed_frog loggerhead mud_turtle
        terrapin box_turtle banded_gecko American_chameleon whiptail agama frilled_lizard Gila_monster green_lizard
        African_chameleon Komodo_dragon American_alligator thunder_snake ringneck_snake green_snake king_snake
        garter_snake water_snake night_snake boa_constrictor rock_python Indian_cobra sea_snake horned_viper diamondback
        sidewinder""",
    "insect": """
        harvestman scorpion black_and_gold_garden_spider barn_spider black_widow tarantula wolf_spider tick tiger_beetle
        ladybug ground_beetle long-horned_beetle dung_beetle rhinoceros_beetle weevil fly ant grasshopper cricket
        walking_stick mantis cicada leafhopper lacewing damselfly admiral ringlet monarch sulphur_butterfly
        lycaenid""",
    "beast": """
        tusker wombat tabby tiger_cat Persian_cat Egyptian_cat cougar lynx leopard jaguar lion tiger cheetah
        American_black_bear ice_bear sloth_bear wood_rabbit hare hamster fox_squirrel marmot beaver guinea_pig zebra hog
        wild_boar warthog ox water_buffalo bison ram ibex hartebeest impala gazelle llama weasel mink polecat otter
        skunk badger armadillo Indian_elephant African_elephant lesser_panda giant_panda orangutan gorilla chimpanzee
        gibbon
        guenon patas baboon macaque colobus proboscis_monkey marmoset capuchin titi spider_monkey squirrel_monkey
        Madagascar_cat""",
    "fish": """
        tench goldfish great_white_shark tiger_shark electric_ray stingray jellyfish sea_anemone Dungeness_crab
        fiddler_crab king_crab American_lobster spiny_lobster hermit_crab grey_whale killer_whale starfish sea_urchin
        eel coho rock_beauty anemone_fish gar lionfish puffer coral_reef scuba_diver sea_slug chambered_nautilus""",
    "vehicle": """
        aircraft_carrier airship ambulance amphibian beach_wagon bobsled bullet_train cab canoe container_ship
        convertible electric_locomotive fire_engine forklift freight_car go-kart golfcart gondola half_track harvester
        horse_cart jinrikisha lifeboat limousine liner minivan Model_T moped motor_scooter mountain_bike moving_van
        oxcart passenger_car pickup plow racer recreational_vehicle schooner snowmobile snowplow space_shuttle
        sports_car steam_locomotive submarine tank thresher tractor trailer_truck tricycle trimaran unicycle warplane
        wing""",
    "building": """
        altar bakery barn bell_cote breakwater castle church cinema cliff_dwelling dam dock dome fountain greenhouse
        grocery_store library mobile_home monastery mosque obelisk palace patio pier planetarium prison restaurant
        steel_arch_bridge stone_wall stupa thatch tile_roof tobacco_shop toyshop triumphal_arch viaduct water_tower
        yurt boathouse shoe_shop butcher_shop""",
    "food": """
        consomme hot_pot trifle ice_cream French_loaf bagel pretzel cheeseburger mashed_potato head_cabbage broccoli
        cauliflower spaghetti_squash acorn_squash butternut_squash cucumber bell_pepper cardoon mushroom Granny_Smith
        orange lemon fig pineapple jackfruit custard_apple pomegranate chocolate_sauce dough meat_loaf pizza burrito
        red_wine espresso cup plate menu corn acorn buckeye ear""",
    "music": """
        accordion acoustic_guitar banjo bassoon cello cornet drum drumstick electric_guitar flute French_horn gong
        harmonica maraca marimba oboe organ steel_drum trombone upright microphone whistle""",
    "clothes": """
        academic_gown apron bathing_cap bib bikini bolo_tie bonnet bow_tie breastplate bulletproof_vest
        Christmas_stocking cloak clog cowboy_hat crash_helmet feather_boa football_helmet fur_coat gasmask gown
        hoopskirt jean jersey knee_pad lab_coat Loafer maillot military_uniform miniskirt mitten mortarboard
        pajama pickelhaube poncho running_shoe sarong shower_cap ski_mask sock sombrero sunglass sunglasses sweatshirt
        swimming_trunks vestment wig Windsor_tie groom""",
    "furniture": """
        barber_chair bassinet bathtub bookcase chest chiffonier china_cabinet cradle crib desk dining_table
        entertainment_center file fire_screen medicine_chest park_bench pedestal pillow pool_table quilt rocking_chair
        studio_couch table_lamp throne toilet_seat tub wardrobe washbasin window_shade""",
    "device": """
        cassette cassette_player CD_player cellular_telephone computer_keyboard desktop_computer dial_telephone
        digital_clock digital_watch hand-held_computer hard_disc home_theater iPod joystick laptop loudspeaker modem
        monitor mouse oscilloscope pay-phone photocopier Polaroid_camera printer projector radio remote_control screen
        sewing_machine space_bar stopwatch tape_player television typewriter_keyboard vending_machine
        cash_machine odometer microwave""",
}
_COCO = {
    "person": (0,),
    "vehicle": (1, 2, 3, 4, 5, 6, 7, 8),
    "bird": (14,),
    "dog": (16,),
    "beast": (15, 17, 18, 19, 20, 21, 22, 23),
    "food": (46, 47, 48, 49, 50, 51, 52, 53, 54, 55),
    "furniture": (13, 56, 57, 59, 60, 61),
    "device": (62, 63, 64, 65, 66, 67),
}
_CLIPS = {
    "bird": ("bird",),
    "dog": ("dog",),
    "beast": ("bear", "cow", "horse", "cat"),
    "vehicle": ("car", "truck", "boat"),
}

GROUPS = (*_IMAGENET, "person")
OF_CLASS = {name: group for group, names in _IMAGENET.items() for name in names.split()}
"""Group of every ImageNet class that has one."""
OF_CATEGORY = {number: group for group, numbers in _COCO.items() for number in numbers}
"""Group of every COCO category (0 to 79) that has one."""


def of_clip(objects: Sequence[str]) -> str | None:
    """Group of a real clip that shows these objects, or None if it is not clear; a clip of people alone is "person"."""
    found = {group for group, names in _CLIPS.items() for name in names if name in objects}
    if len(found) > 1 or (found and "person" in objects):
        return None
    return found.pop() if found else "person" if "person" in objects else None
